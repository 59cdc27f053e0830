/* SPDX-License-Identifier: MIT */
/* From a file to a manifest. The order matters: components name profiles, listeners name
 * components. */
#include "manifest/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "manifest/reader.h"

/* ---- the text ---- */

static struct rusm__pos place_at(const char *text, size_t offset) {
    struct rusm__pos at = {1, 1};
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            at = (struct rusm__pos){at.line + 1, 1};
        } else {
            at.column += ((unsigned char)text[i] & 0xc0) != 0x80; /* characters, not bytes */
        }
    }
    return at;
}

/* ---- the tables ---- */

static void read_root(struct rusm__reader *reader, const struct rusm__toml *root) {
    struct rusm__manifest *manifest = reader->manifest;
    /* Absent tables are read too, as empty ones: that is where their defaults come from. */
    static const struct rusm__toml empty = {.kind = RUSM__TOML_TABLE};
    struct rusm__root_places places;
    rusm__read_table(reader, &rusm__root_keys, "the top level", root, &places);

    const struct rusm__toml *node = rusm__read_child(root, "node", RUSM__TOML_TABLE);
    const struct rusm__toml *log = rusm__read_child(root, "log", RUSM__TOML_TABLE);
    rusm__read_table(reader, &rusm__node_keys, "[node]", node ? node : &empty, &manifest->node);
    rusm__read_table(reader, &rusm__log_keys, "[log]", log ? log : &empty, &manifest->log);

    const struct rusm__toml *profiles = rusm__read_child(root, "capabilities", RUSM__TOML_TABLE);
    const struct rusm__toml *components = rusm__read_child(root, "components", RUSM__TOML_TABLE);
    const struct rusm__toml *serve = rusm__read_child(root, "serve", RUSM__TOML_LIST);
    rusm__read_capabilities(reader, profiles ? profiles : &empty);
    rusm__read_components(reader, components ? components : &empty);
    rusm__read_serve(reader, serve ? serve : &empty);
}

static int read_text(struct rusm__reader *reader, const char *text, size_t len) {
    size_t good = rusm__utf8_good((const unsigned char *)text, len);
    if (good < len) {
        RUSM__BAD(reader, place_at(text, good), "not valid UTF-8");
        return RUSM_ECONFIG;
    }
    struct rusm__toml *root;
    struct rusm__toml_error error;
    int code = rusm__toml_parse(reader->arena, text, len, &root, &error);
    if (code == RUSM_ECONFIG) {
        RUSM__BAD(reader, error.at, "TOML parse error: %s", error.text);
    }
    if (code == RUSM_OK) {
        read_root(reader, root);
    }
    return code;
}

/* ---- the manifest ---- */

static struct rusm__manifest *new_manifest(const char *path) {
    struct rusm__arena arena;
    rusm__arena_init(&arena);
    struct rusm__manifest *manifest = rusm__arena_try_alloc(&arena, sizeof(*manifest));
    if (manifest != NULL) {
        manifest->path = rusm__arena_try_strndup(&arena, path, strlen(path));
        manifest->arena = arena; /* moves: from here on only this one is used */
    }
    return manifest;
}

void rusm__manifest_free(struct rusm__manifest *manifest) {
    if (manifest != NULL) {
        struct rusm__arena arena = manifest->arena; /* the struct lies in its own arena */
        rusm__arena_fini(&arena);
    }
}

static int finish(struct rusm__reader *reader, int code) {
    if (reader->arena->failed || reader->report->failed) {
        return RUSM_ENOMEM;
    }
    rusm__report_sort(reader->report);
    return code == RUSM_OK && reader->report->errors != 0 ? RUSM_ECONFIG : code;
}

int rusm__manifest_parse(const char *path, const char *text, size_t len,
                         struct rusm__manifest **out_manifest, struct rusm__report *report) {
    *out_manifest = NULL;
    rusm__report_set_path(report, path);
    struct rusm__manifest *manifest = new_manifest(path);
    if (manifest == NULL) {
        return RUSM_ENOMEM;
    }
    manifest->found = true;
    struct rusm__reader reader = {manifest, &manifest->arena, report};
    int parsed = read_text(&reader, text, len);
    int code = finish(&reader, parsed);
    if (parsed != RUSM_OK || code == RUSM_ENOMEM) {
        rusm__manifest_free(manifest);
        return code;
    }
    *out_manifest = manifest;
    return code;
}

/* ---- the file ---- */

/* Fills the buffer up to one byte more than is allowed. 0 or an errno value. */
static int read_all(int fd, char *to, size_t size, size_t *out_len) {
    *out_len = 0;
    while (*out_len < size) {
        ssize_t got = read(fd, to + *out_len, size - *out_len);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return errno;
        }
        *out_len += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static int cannot_read(struct rusm__report *report, const char *path, const char *why) {
    why =
        why != NULL ? why : "unknown error"; /* an errno value that the C library has no text for */
    rusm__report_add(report, RUSM__INVALID, (struct rusm__pos){0, 0}, "cannot read %s: %s", path,
                     why);
    return RUSM_ECONFIG;
}

static int load_from(int fd, const char *path, char *text, struct rusm__manifest **out_manifest,
                     struct rusm__report *report) {
    size_t len;
    int problem = read_all(fd, text, RUSM__TOML_BYTES_MAX + 1, &len);
    if (problem != 0) {
        return cannot_read(report, path, strerrordesc_np(problem));
    }
    if (len > RUSM__TOML_BYTES_MAX) {
        return cannot_read(report, path, "the file is larger than 1 MiB");
    }
    return rusm__manifest_parse(path, text, len, out_manifest, report);
}

static int load_defaults(const char *path, struct rusm__manifest **out_manifest,
                         struct rusm__report *report) {
    int code = rusm__manifest_parse(path, "", 0, out_manifest, report);
    if (*out_manifest != NULL) {
        (*out_manifest)->found = false;
    }
    return code;
}

int rusm__manifest_load(const char *path, bool named, struct rusm__manifest **out_manifest,
                        struct rusm__report *report) {
    *out_manifest = NULL;
    rusm__report_set_path(report, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return errno == ENOENT && !named ? load_defaults(path, out_manifest, report)
                                         : cannot_read(report, path, strerrordesc_np(errno));
    }
    char *text = rusm__mem_try_alloc(RUSM__TOML_BYTES_MAX + 1);
    int code = text == NULL ? RUSM_ENOMEM : load_from(fd, path, text, out_manifest, report);
    rusm__mem_free(text);
    close(fd);
    return code;
}
