/* SPDX-License-Identifier: MIT */
/* [serve.headers]: what the listener adds to its answers. Everything that could break the framing
 * of an answer is refused here, so that serving may write headers as they are. */
#include "manifest/reader.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAME_MAX_BYTES = 128, VALUE_MAX_BYTES = 8192 };

static bool check_name(struct rusm__reader *reader, const struct rusm__toml *child) {
    /* These belong to whoever frames the answer. */
    static const char *const owned[] = {
        "connection", "content-length", "keep-alive",        "proxy-connection",
        "te",         "trailer",        "transfer-encoding", "upgrade"};
    bool token = child->key_len != 0 && child->key_len <= NAME_MAX_BYTES;
    for (size_t i = 0; token && i < child->key_len; i++) {
        token = rusm__is_token_char((unsigned char)child->key[i]);
    }
    if (!token) {
        RUSM__BAD(reader, child->key_at,
                  "`%s` in [serve.headers] is not a header name (letters, digits and "
                  "!#$%%&'*+-.^_`|~, at most %d)",
                  rusm__show(child->key, child->key_len).text, NAME_MAX_BYTES);
        return false;
    }
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
        if (strcasecmp(child->key, owned[i]) == 0) {
            RUSM__BAD(reader, child->key_at,
                      "`%s` in [serve.headers] is not yours to set: the server frames the answers",
                      child->key);
            return false;
        }
    }
    return true;
}

static bool check_value(struct rusm__reader *reader, const struct rusm__toml *child) {
    const char *name = child->key;
    if (child->kind != RUSM__TOML_STRING) {
        RUSM__BAD(reader, child->at, "`%s` in [serve.headers] must be a string, found %s", name,
                  rusm__describe(child).text);
        return false;
    }
    size_t len = child->as.string.len;
    bool good = len <= VALUE_MAX_BYTES;
    for (size_t i = 0; good && i < len; i++) {
        unsigned char c = (unsigned char)child->as.string.ptr[i];
        good = (c >= 0x20 && c < 0x7f) || c == '\t';
    }
    if (!good) {
        RUSM__BAD(
            reader, child->at,
            "`%s` in [serve.headers] is not a header value (printable ASCII and tabs, at most "
            "%d bytes), found %s",
            name, VALUE_MAX_BYTES, rusm__describe(child).text);
    }
    return good;
}

static const char *lower_case(struct rusm__reader *reader, const struct rusm__toml *child) {
    char *name = rusm__arena_try_strndup(reader->arena, child->key, child->key_len);
    for (char *c = name; c != NULL && *c != '\0'; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    return name;
}

struct entry {
    struct rusm__header header;
    struct rusm__pos at;
};

static int compare_entries(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    int order = strcmp(x->header.name, y->header.name);
    return order != 0 ? order : rusm__pos_compare(x->at, y->at);
}

static size_t collect(struct rusm__reader *reader, const struct rusm__toml *table,
                      struct entry *entries) {
    size_t kept = 0;
    for (size_t i = 0; i < table->as.list.count; i++) {
        const struct rusm__toml *child = &table->as.list.items[i];
        bool good = check_name(reader, child);
        if (!good || !check_value(reader, child)) {
            continue;
        }
        const char *name = lower_case(reader, child);
        if (name != NULL) {
            entries[kept++] = (struct entry){{name, child->as.string.ptr}, child->key_at};
        }
    }
    qsort(entries, kept, sizeof(*entries), compare_entries);
    return kept;
}

void rusm__read_headers(struct rusm__reader *reader, struct rusm__manifest_listener *listener,
                        const struct rusm__toml *table) {
    size_t count = table->as.list.count;
    struct entry *entries = rusm__arena_try_array(reader->arena, count, sizeof(*entries));
    struct rusm__header *headers = rusm__arena_try_array(reader->arena, count, sizeof(*headers));
    if (entries == NULL || headers == NULL) {
        return;
    }
    count = collect(reader, table, entries);
    for (size_t i = 0; i < count; i++) {
        headers[i] = entries[i].header;
        if (i > 0 && strcmp(headers[i - 1].name, headers[i].name) == 0) {
            RUSM__BAD(reader, entries[i].at,
                      "`%s` in [serve.headers] is the header of line %u again (case does not "
                      "count)",
                      headers[i].name, entries[i - 1].at.line);
        }
    }
    listener->headers = headers;
    listener->header_count = count;
}
