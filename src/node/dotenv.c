/* SPDX-License-Identifier: MIT */
#include "node/dotenv.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "rusm/error.h"

#include "node/file.h"

struct rusm__dotenv_entry {
    struct rusm__dotenv_entry *before;
    const char *name;
    const char *value;
};

/* A walk over the text. `next` never passes `end`. */
struct reader {
    struct rusm__dotenv *env;
    const char *path;
    const char *next;
    const char *end;
    size_t line;            /* of next */
    struct rusm__buf value; /* of the line at hand */
    struct rusm__buf *error;
    bool bad;    /* a line was wrong */
    bool failed; /* memory was short */
};

void rusm__dotenv_init(struct rusm__dotenv *env) {
    *env = (struct rusm__dotenv){0};
    rusm__arena_init(&env->arena);
}

void rusm__dotenv_fini(struct rusm__dotenv *env) {
    rusm__arena_fini(&env->arena);
}

static const char *find(const struct rusm__dotenv *env, const char *name) {
    const char *found = NULL;
    for (const struct rusm__dotenv_entry *e = env->entries; e; e = e->before) {
        if (strcmp(e->name, name) == 0)
            found = e->value; /* the earliest wins */
    }
    return found;
}

const char *rusm__dotenv_get(const struct rusm__dotenv *env, const char *name) {
    const char *real = getenv(name);
    return real ? real : find(env, name);
}

/* ---- characters ---- */

static int peek(const struct reader *r) {
    return r->next < r->end ? (unsigned char)*r->next : -1;
}

static bool is_name_char(int c, bool first) {
    return c == '_' || isalpha(c) || (!first && (c == '.' || isdigit(c)));
}

static bool ends_line(int c) {
    return c == -1 || c == '\n';
}

static bool is_blank(int c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct reader *r) {
    while (is_blank(peek(r)))
        r->next++;
}

static void skip_line(struct reader *r) {
    while (!ends_line(peek(r)))
        r->next++;
}

static int take(struct reader *r) {
    int c = peek(r);
    if (c != -1)
        r->next++;
    r->line += c == '\n';
    return c;
}

/* ---- values ---- */

static const char *check_length(const struct reader *r) {
    return r->value.len > RUSM__DOTENV_MAX_VALUE_BYTES ? "the value is longer than 64 KiB" : NULL;
}

/* Append what $NAME or ${NAME} stands for; next is behind the dollar. A dollar before anything
 * else is a dollar. NULL, or what is wrong; a few bytes may stand for many, so that is looked at
 * for each of them. */
static const char *take_variable(struct reader *r) {
    bool braces = peek(r) == '{';
    const char *from = r->next + braces;
    const char *to = from;
    while (to < r->end && is_name_char((unsigned char)*to, to == from))
        to++;
    if (to == from) {
        rusm__buf_add_char(&r->value, '$');
        return braces ? "`${` without a name" : NULL;
    }
    if (braces && (to == r->end || *to != '}'))
        return "`${` without its `}`";
    char name[256];
    if ((size_t)(to - from) >= sizeof(name))
        return "the name of a variable is longer than 255 bytes";
    memcpy(name, from, (size_t)(to - from));
    name[to - from] = '\0';
    r->next = to + braces;
    const char *value = rusm__dotenv_get(r->env, name);
    rusm__buf_add_str(&r->value, value ? value : "");
    return check_length(r);
}

static const char *take_single_quoted(struct reader *r) {
    for (int c = take(r); c != '\''; c = take(r)) {
        if (c == -1)
            return "a single quote is not closed";
        rusm__buf_add_char(&r->value, (char)c);
    }
    return NULL;
}

static const char *take_escape(struct reader *r) {
    int c = take(r);
    if (c == -1)
        return "a backslash at the end";
    if (c == 'n')
        c = '\n';
    else if (!strchr("\\\"'$ #", c))
        return "unknown escape: use \\n \\\\ \\\" \\' \\$";
    rusm__buf_add_char(&r->value, (char)c);
    return NULL;
}

static const char *take_double_quoted(struct reader *r) {
    for (int c = take(r); c != '"'; c = take(r)) {
        const char *wrong = NULL;
        if (c == -1)
            return "a double quote is not closed";
        if (c == '\\')
            wrong = take_escape(r);
        else if (c == '$')
            wrong = take_variable(r);
        else
            rusm__buf_add_char(&r->value, (char)c);
        if (wrong)
            return wrong;
    }
    return NULL;
}

static const char *take_part(struct reader *r) {
    int c = take(r);
    switch (c) {
    case '\'':
        return take_single_quoted(r);
    case '"':
        return take_double_quoted(r);
    case '\\':
        return take_escape(r);
    case '$':
        return take_variable(r);
    default:
        rusm__buf_add_char(&r->value, (char)c);
        return NULL;
    }
}

/* Up to the first blank outside quotes; behind it only a comment may follow. */
static const char *take_value(struct reader *r) {
    rusm__buf_clear(&r->value);
    while (!ends_line(peek(r)) && !is_blank(peek(r))) {
        const char *wrong = take_part(r);
        if (!wrong)
            wrong = check_length(r);
        if (wrong)
            return wrong;
    }
    skip_blanks(r);
    if (peek(r) == '#')
        skip_line(r);
    if (memchr(r->value.data ? (const void *)r->value.data : "", '\0', r->value.len))
        return "a zero byte";
    return ends_line(peek(r)) ? NULL : "a value with blanks needs quotes";
}

/* ---- lines ---- */

static void keep(struct reader *r, const char *name, size_t name_len) {
    struct rusm__arena *arena = &r->env->arena;
    struct rusm__dotenv_entry *entry = rusm__arena_try_alloc(arena, sizeof(*entry));
    const char *name_copy = rusm__arena_try_strndup(arena, name, name_len);
    const char *value = rusm__arena_try_strndup(arena, rusm__buf_cstr(&r->value), r->value.len);
    if (!entry || !name_copy || !value)
        return; /* the arena remembers */
    *entry = (struct rusm__dotenv_entry){r->env->entries, name_copy, value};
    r->env->entries = entry;
    r->env->count++;
}

static void skip_export(struct reader *r) {
    static const char word[] = "export";
    size_t len = sizeof(word) - 1;
    if ((size_t)(r->end - r->next) > len && memcmp(r->next, word, len) == 0 &&
        is_blank((unsigned char)r->next[len])) {
        r->next += len;
        skip_blanks(r);
    }
}

static const char *take_entry(struct reader *r) {
    skip_export(r);
    const char *name = r->next;
    while (is_name_char(peek(r), r->next == name))
        r->next++;
    size_t name_len = (size_t)(r->next - name);
    if (name_len == 0)
        return "expected NAME=value";
    skip_blanks(r);
    if (peek(r) != '=')
        return "expected `=` behind the name";
    r->next++;
    skip_blanks(r);
    const char *wrong = take_value(r);
    if (!wrong)
        keep(r, name, name_len);
    return wrong;
}

static void take_line(struct reader *r) {
    size_t line = r->line;
    skip_blanks(r);
    if (!ends_line(peek(r)) && peek(r) != '#') {
        const char *wrong = take_entry(r);
        if (wrong) {
            rusm__buf_addf(r->error, "%sinvalid %s:%zu: %s", r->error->len ? "\n" : "", r->path,
                           line, wrong);
            r->bad = true;
        }
    }
    r->failed |= r->value.failed;
    skip_line(r);
    take(r);
}

int rusm__dotenv_parse(struct rusm__dotenv *env, const char *path, const char *text, size_t len,
                       struct rusm__buf *error) {
    static const char mark[] = "\xef\xbb\xbf"; /* what some editors put in front of UTF-8 */
    struct reader r = {
        .env = env, .path = path, .next = text, .end = text + len, .line = 1, .error = error};
    rusm__buf_init(&r.value);
    if (len >= 3 && memcmp(text, mark, 3) == 0)
        r.next += 3;
    while (r.next < r.end)
        take_line(&r);
    rusm__buf_fini(&r.value);
    if (env->arena.failed || r.failed || error->failed)
        return RUSM_ENOMEM;
    return r.bad ? RUSM_ECONFIG : RUSM_OK;
}

/* ---- the file ---- */

static int parse_file(struct rusm__dotenv *env, const char *path, bool *out_found,
                      struct rusm__buf *error) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    int cause;
    int code = rusm__file_read(path, RUSM__DOTENV_MAX_BYTES, &text, &cause);
    *out_found = code != RUSM_ENOTFOUND;
    if (code == RUSM_OK) {
        code = rusm__dotenv_parse(env, path, rusm__buf_cstr(&text), text.len, error);
    } else if (*out_found && code != RUSM_ENOMEM) {
        rusm__buf_addf(error, "cannot read %s: %s", path, strerror(cause));
        code = RUSM_ECONFIG;
    }
    rusm__buf_fini(&text);
    return *out_found ? code : RUSM_OK;
}

/* folder becomes the one above it; false at the top. */
static bool go_up(char *folder) {
    char *slash = strrchr(folder, '/');
    if (!slash || folder[1] == '\0')
        return false;
    slash[slash == folder] = '\0';
    return true;
}

int rusm__dotenv_load(struct rusm__dotenv *env, const char *root, struct rusm__buf *error) {
    bool found;
    char path[PATH_MAX + sizeof("/.env")];
    char folder[PATH_MAX];
    /* In the app's own folder the file is called what its owner calls it. */
    const char *own = strcmp(root, ".") == 0 ? ".env" : NULL;
    if (!realpath(root, folder)) {
        rusm__buf_addf(error, "cannot read %s: %s", root, strerror(errno));
        return RUSM_ECONFIG;
    }
    do {
        strcpy(path, folder);
        strcat(path, folder[1] ? "/.env" : ".env");
        int code = parse_file(env, own ? own : path, &found, error);
        own = NULL;
        if (found)
            return code;
    } while (go_up(folder));
    return RUSM_OK;
}
