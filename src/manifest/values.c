/* SPDX-License-Identifier: MIT */
/* Single values that need more than a type: names, addresses, sources, levels, list items. */
#include "manifest/reader.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

bool rusm__is_token_char(unsigned char c) {
    return is_alnum((char)c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (!rusm__is_token_char((unsigned char)text[i])) {
            return false;
        }
    }
    return len != 0;
}

static void store_text(const struct rusm__slot *slot, const struct rusm__toml *value) {
    *(const char **)rusm__slot_field(slot) = value->as.string.ptr;
}

/* ---- names and plain texts ---- */

bool rusm__check_name(struct rusm__reader *reader, const char *what, struct rusm__pos at,
                      const char *name, size_t len) {
    bool good = len != 0 && len <= RUSM__MANIFEST_NAME_MAX && name[0] != '-' && name[0] != '.' &&
                name[len - 1] != '.';
    for (size_t i = 0; good && i < len; i++) {
        good = is_alnum(name[i]) || name[i] == '-' || name[i] == '_' || name[i] == '.';
    }
    if (!good) {
        RUSM__BAD(reader, at,
                  "%s `%s` is not a name: use letters, digits, `-` and `_` (and `.` inside), "
                  "starting with a letter, a digit or `_`, at most %d characters",
                  what, rusm__show(name, len).text, RUSM__MANIFEST_NAME_MAX);
    }
    return good;
}

void rusm__take_name(struct rusm__reader *reader, const struct rusm__slot *slot,
                     const struct rusm__toml *value) {
    const char *what =
        rusm__arena_try_printf(reader->arena, "`%s` in %s:", slot->key->name, slot->where);
    rusm__check_name(reader, what != NULL ? what : slot->key->name, value->at, value->as.string.ptr,
                     value->as.string.len);
    store_text(slot, value);
}

void rusm__take_text(struct rusm__reader *reader, const struct rusm__slot *slot,
                     const struct rusm__toml *value) {
    if (value->as.string.len == 0) {
        RUSM__BAD(reader, value->at, "`%s` in %s must not be empty", slot->key->name, slot->where);
    }
    store_text(slot, value);
}

void rusm__take_level(struct rusm__reader *reader, const struct rusm__slot *slot,
                      const struct rusm__toml *value) {
    static const char *const words[] = {"off",   "error",   "warn", "info",
                                        "debug", "warning", "trace"};
    const char *text = value->as.string.ptr;
    if (rusm__log_parse_level(text, value->as.string.len, rusm__slot_field(slot))) {
        return;
    }
    struct rusm__suggestion near;
    rusm__suggest_start(&near, text, value->as.string.len);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        rusm__suggest_try(&near, words[i]);
    }
    RUSM__BAD(reader, value->at,
              "`%s` in %s must be one of `off`, `error`, `warn`, `info`, `debug` (`warning` and "
              "`trace` mean `warn` and `debug`), found %s%s",
              slot->key->name, slot->where, rusm__describe(value).text,
              rusm__read_hint(reader, &near));
}

/* ---- addresses ---- */

static bool parse_port(const char *text, size_t len, uint16_t *out_port) {
    unsigned port = 0;
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(text[i]) || i == 5) {
            return false;
        }
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    *out_port = (uint16_t)port;
    return len != 0 && port <= UINT16_MAX;
}

static bool is_host_name(const char *host) {
    size_t len = strlen(host), label = 0;
    for (size_t i = 0; i < len; i++) {
        if (host[i] == '.'
                ? label == 0 || host[i - 1] == '-'
                : !is_alnum(host[i]) && host[i] != '_' && (host[i] != '-' || label == 0)) {
            return false;
        }
        label = host[i] == '.' ? 0 : label + 1;
        if (label > 63) {
            return false;
        }
    }
    return len != 0 && len <= 253 && host[len - 1] != '-';
}

/* What is wrong with the host, or NULL. */
static const char *parse_host(struct rusm__address *address, bool bracketed) {
    unsigned char bytes[sizeof(struct in6_addr)];
    const char *host = address->host;
    if (bracketed) {
        address->kind = RUSM__HOST_IPV6;
        return inet_pton(AF_INET6, host, bytes) == 1 ? NULL : "not an IPv6 address in the brackets";
    }
    if (strchr(host, ':') != NULL) {
        return "an IPv6 address is written in brackets, as in `[::1]:8080`";
    }
    if (host[0] == '\0') {
        return "no host before the port (`0.0.0.0` or `[::]` for every address of this machine)";
    }
    if (strspn(host, "0123456789.") == strlen(host)) {
        address->kind = RUSM__HOST_IPV4;
        return inet_pton(AF_INET, host, bytes) == 1 ? NULL : "not an IPv4 address";
    }
    address->kind = RUSM__HOST_NAME;
    return is_host_name(host) ? NULL : "not a host name";
}

const char *rusm__address_parse(struct rusm__arena *arena, const char *text, size_t len,
                                struct rusm__address *out) {
    const char *colon = memrchr(text, ':', len);
    if (strstr(text, "://") != NULL) {
        return "leave the scheme out";
    }
    if (colon == NULL) {
        return "no `:port` behind the host";
    }
    size_t host_len = (size_t)(colon - text);
    if (!parse_port(colon + 1, len - host_len - 1, &out->port)) {
        return "the port must be a number from 0 to 65535";
    }
    bool bracketed = host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']';
    out->text = text;
    out->host = rusm__arena_try_strndup(arena, text + bracketed, host_len - 2u * bracketed);
    return out->host == NULL ? "out of memory" : parse_host(out, bracketed);
}

void rusm__take_address(struct rusm__reader *reader, const struct rusm__slot *slot,
                        const struct rusm__toml *value) {
    struct rusm__address address = {.text = NULL};
    const char *problem =
        rusm__address_parse(reader->arena, value->as.string.ptr, value->as.string.len, &address);
    if (problem != NULL) {
        RUSM__BAD(reader, value->at, "`%s` in %s must be `host:port`, found %s: %s",
                  slot->key->name, slot->where, rusm__describe(value).text, problem);
        return;
    }
    *(struct rusm__address *)rusm__slot_field(slot) = address;
}

static bool same_host(const struct rusm__address *a, const struct rusm__address *b) {
    unsigned char of_a[sizeof(struct in6_addr)], of_b[sizeof(struct in6_addr)];
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind != RUSM__HOST_IPV6) {
        return strcasecmp(a->host, b->host) == 0; /* inet_pton takes one spelling of IPv4 only */
    }
    return inet_pton(AF_INET6, a->host, of_a) == 1 && inet_pton(AF_INET6, b->host, of_b) == 1 &&
           memcmp(of_a, of_b, sizeof(of_a)) == 0;
}

/* "Every address" claims the port of every other host of its kind. */
static bool is_any(const struct rusm__address *address) {
    static const struct in6_addr zero;
    struct in6_addr parsed;
    return address->kind == RUSM__HOST_IPV6
               ? inet_pton(AF_INET6, address->host, &parsed) == 1 &&
                     memcmp(&parsed, &zero, sizeof(zero)) == 0
               : address->kind == RUSM__HOST_IPV4 && strcmp(address->host, "0.0.0.0") == 0;
}

bool rusm__address_overlaps(const struct rusm__address *a, const struct rusm__address *b) {
    if (a->text == NULL || b->text == NULL || a->port == 0 || a->port != b->port) {
        return false;
    }
    bool same_kind = a->kind == b->kind;
    return same_host(a, b) || (same_kind && (is_any(a) || is_any(b)));
}

/* ---- sources ---- */

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_http_url(const char *text) {
    size_t scheme = starts_with(text, "http://") ? 7 : starts_with(text, "https://") ? 8 : 0;
    return scheme != 0 && text[scheme] != '\0' && text[scheme] != '/' && strchr(text, ' ') == NULL;
}

static bool parse_kv(struct rusm__reader *reader, struct rusm__source *source) {
    const char *bucket = source->text + strlen("kv:");
    const char *slash = strchr(bucket, '/');
    if (slash == NULL || slash == bucket || slash[1] == '\0') {
        return false;
    }
    source->kind = RUSM__SOURCE_KV;
    source->bucket = rusm__arena_try_strndup(reader->arena, bucket, (size_t)(slash - bucket));
    source->key = slash + 1;
    return true;
}

static bool parse_url(struct rusm__source *source) {
    source->kind = RUSM__SOURCE_URL;
    source->url = source->text + (starts_with(source->text, "url:") ? strlen("url:") : 0);
    return is_http_url(source->url);
}

void rusm__take_source(struct rusm__reader *reader, const struct rusm__slot *slot,
                       const struct rusm__toml *value) {
    const char *text = value->as.string.ptr;
    size_t len = value->as.string.len;
    for (; len > 0 && is_blank(text[0]); text++, len--) {
    }
    for (; len > 0 && is_blank(text[len - 1]); len--) {
    }
    struct rusm__source source = {.text = rusm__arena_try_strndup(reader->arena, text, len)};
    if (source.text == NULL) {
        return; /* the arena remembers */
    }
    bool is_kv = starts_with(source.text, "kv:");
    if (is_kv ? parse_kv(reader, &source) : parse_url(&source)) {
        *(struct rusm__source *)rusm__slot_field(slot) = source;
    } else if (is_kv) {
        RUSM__BAD(reader, value->at, "`%s` in %s: kv source must be `kv:<bucket>/<key>`, got %s",
                  slot->key->name, slot->where, rusm__describe(value).text);
    } else {
        RUSM__BAD(reader, value->at,
                  "`%s` in %s: unrecognised bundle source %s (expected `http(s)://…` or "
                  "`kv:<bucket>/<key>`)",
                  slot->key->name, slot->where, rusm__describe(value).text);
    }
}

/* ---- items of lists ---- */

void rusm__take_protocol(struct rusm__reader *reader, const struct rusm__slot *slot,
                         const struct rusm__toml *item) {
    if (!is_token(item->as.string.ptr, item->as.string.len)) {
        RUSM__BAD(reader, item->at,
                  "`%s` in %s: %s is not a subprotocol (letters, digits and !#$%%&'*+-.^_`|~)",
                  slot->key->name, slot->where, rusm__describe(item).text);
    }
}

/* Origins are compared byte for byte with what a browser sends: scheme://host[:port]. */
void rusm__take_origin(struct rusm__reader *reader, const struct rusm__slot *slot,
                       const struct rusm__toml *item) {
    const char *text = item->as.string.ptr;
    const char *host = strstr(text, "://");
    bool good = strcmp(text, "null") == 0;
    if (!good && host != NULL && host != text) {
        host += strlen("://");
        good = *host != '\0' && strpbrk(host, "/?#* ") == NULL;
    }
    if (!good) {
        RUSM__BAD(reader, item->at,
                  "`%s` in %s: %s is not an origin: write `https://example.org`, with a port if "
                  "it is not the usual one and without a path (leave the key out to allow any)",
                  slot->key->name, slot->where, rusm__describe(item).text);
    }
}

void rusm__take_env(struct rusm__reader *reader, const struct rusm__slot *slot,
                    const struct rusm__toml *item) {
    if (item->as.string.len == 0 || strchr(item->as.string.ptr, '=') != NULL) {
        RUSM__BAD(reader, item->at,
                  "`%s` in %s: %s is not the name of an environment variable (values are taken "
                  "from the environment)",
                  slot->key->name, slot->where, rusm__describe(item).text);
    }
}

void rusm__take_url_host(struct rusm__reader *reader, const struct rusm__slot *slot,
                         const struct rusm__toml *item) {
    const char *text = item->as.string.ptr;
    if (*text == '\0' || *text == ':' || strpbrk(text, "/?#@ ") != NULL) {
        RUSM__BAD(reader, item->at,
                  "`%s` in %s: %s is not the host of a URL: write `127.0.0.1:8080`, `localhost` or "
                  "`[::1]`, without a scheme and a path",
                  slot->key->name, slot->where, rusm__describe(item).text);
    }
}

void rusm__take_bridge(struct rusm__reader *reader, const struct rusm__slot *slot,
                       const struct rusm__toml *item) {
    const char *what =
        rusm__arena_try_printf(reader->arena, "`%s` in %s:", slot->key->name, slot->where);
    rusm__check_name(reader, what != NULL ? what : slot->key->name, item->at, item->as.string.ptr,
                     item->as.string.len);
}
