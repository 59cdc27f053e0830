/* SPDX-License-Identifier: MIT */
/* actor: spawn-from. The guest names a template and a source; every gate is asked on every call,
 * whatever is known of the source. The rest, and all waiting, is in bundles.c. */
#include "hostcall/hostcall_impl.h"

#include <string.h>
#include <strings.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "base/utf8.h"

#define TEXT_IN_ERROR 128u /* bytes of the guest's own words that an error text repeats */

/* ---- errors ---- */

/* The call is over before it began: DONE with a text. */
static void refuse(struct rusm__bundle_call *call, struct rusm__buf *text) {
    call->component = NULL;
    call->error = rusm__mem_try_strndup(rusm__buf_cstr(text), text->len);
    rusm__buf_fini(text);
    /* Relaxed: the guest itself asks next. */
    atomic_store_explicit(&call->state, RUSM__BUNDLE_DONE, memory_order_relaxed);
}

static struct rusm__slice cut(struct rusm__slice text) {
    if (text.len > TEXT_IN_ERROR)
        text.len = rusm__utf8_good(text.ptr, TEXT_IN_ERROR);
    return text;
}

static void refuse_with(struct rusm__bundle_call *call, const char *before,
                        struct rusm__slice middle, const char *after) {
    struct rusm__buf text;
    middle = cut(middle);
    rusm__buf_init(&text);
    rusm__buf_add_str(&text, before);
    rusm__buf_add(&text, middle.ptr, middle.len);
    rusm__buf_add_str(&text, after);
    refuse(call, &text);
}

/* ---- sources ---- */

static bool is_blank(unsigned char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct rusm__slice trim(struct rusm__slice text) {
    while (text.len && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static bool take_prefix(struct rusm__slice *text, const char *prefix) {
    size_t len = strlen(prefix);
    if (text->len < len || memcmp(text->ptr, prefix, len) != 0)
        return false;
    text->ptr += len;
    text->len -= len;
    return true;
}

/* A word of the guest in quotes, with what would break out of them escaped. */
static void add_quoted(struct rusm__buf *out, struct rusm__slice word) {
    word = cut(word);
    rusm__buf_add_char(out, '"');
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] == '"' || word.ptr[i] == '\\')
            rusm__buf_add_char(out, '\\');
        rusm__buf_add_char(out, (char)word.ptr[i]);
    }
    rusm__buf_add_char(out, '"');
}

static void refuse_source(struct rusm__bundle_call *call, const char *before,
                          struct rusm__slice source, const char *after) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__buf_add_str(&text, before);
    add_quoted(&text, source);
    rusm__buf_add_str(&text, after);
    refuse(call, &text);
}

/* ---- gates ---- */

/* target: what the capability is wanted for; text: what the guest is told without it. */
static bool is_granted(struct rusm__guest *guest, struct rusm__bundle_call *call, bool has,
                       enum rusm__refusal what, struct rusm__slice target, const char *text) {
    if (!has) {
        rusm__gate_deny(guest, what, target.ptr, target.len);
        refuse_with(call, text, (struct rusm__slice){(const unsigned char *)"", 0}, "");
    }
    return has;
}

/* ---- the three kinds ---- */

static bool take_inline(struct rusm__bundle_call *call, struct rusm__slice rest,
                        struct rusm__bundle_source *out) {
    if (rest.len > RUSM__BUNDLE_MAX_BYTES) {
        struct rusm__buf text;
        rusm__buf_init(&text);
        rusm__buf_addf(&text, "an inline source of %zu bytes, the limit is %zu", rest.len,
                       RUSM__BUNDLE_MAX_BYTES);
        refuse(call, &text);
        return false;
    }
    out->place = RUSM__BUNDLE_INLINE;
    out->first = rest;
    return true;
}

static bool is_short(struct rusm__bundle_call *call, struct rusm__slice source) {
    if (source.len <= RUSM__BUNDLE_NAME_BYTES)
        return true;
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__buf_addf(&text, "a source of %zu bytes that is not inline, the limit is %d", source.len,
                   RUSM__BUNDLE_NAME_BYTES);
    refuse(call, &text);
    return false;
}

/* The first slash splits, and neither part is empty: a slash too many or too few is told as one. */
static bool take_kv(struct rusm__guest *guest, struct rusm__bundle_call *call,
                    struct rusm__slice rest, struct rusm__bundle_source *out) {
    const unsigned char *slash = memchr(rest.ptr, '/', rest.len);
    if (!is_granted(guest, call, guest->profile->storage, RUSM__REFUSED_FROM_KV, out->whole,
                    "spawn-from kv denied: missing the storage capability"))
        return false;
    if (!slash || slash == rest.ptr || slash + 1 == rest.ptr + rest.len) {
        refuse_source(call, "kv source must be `kv:<bucket>/<key>`, got ", out->whole, "");
        return false;
    }
    if (!rusm__hostcall_of(guest)->store.kv) {
        refuse_source(call, "kv source ", out->whole, " needs a node store");
        return false;
    }
    out->place = RUSM__BUNDLE_KV;
    out->first = (struct rusm__slice){rest.ptr, (size_t)(slash - rest.ptr)};
    out->key = (struct rusm__slice){slash + 1, rest.len - out->first.len - 1};
    return true;
}

/* Between the two slashes and the path. */
static struct rusm__slice authority_of(struct rusm__slice url) {
    const unsigned char *end = url.ptr + url.len;
    const unsigned char *at = (const unsigned char *)memchr(url.ptr, ':', url.len) + 3;
    size_t len = 0;
    while (at + len < end && !strchr("/?#", at[len]))
        len++;
    return (struct rusm__slice){at, len};
}

static bool is_listed_as(struct rusm__slice authority, const char *host) {
    size_t len = strlen(host);
    bool is_end = authority.len == len || (authority.len > len && authority.ptr[len] == ':');
    return is_end && strncasecmp((const char *)authority.ptr, host, len) == 0;
}

/* Host or host:port, as in the URL; "[::1]" has its brackets in both. */
static bool is_listed(const struct rusm__profile *profile, struct rusm__slice url) {
    struct rusm__slice authority = authority_of(url);
    for (size_t i = 0; i < profile->url_local_host_count; i++) {
        if (is_listed_as(authority, profile->url_local_hosts[i]))
            return true;
    }
    return false;
}

static bool take_url(struct rusm__guest *guest, struct rusm__bundle_call *call,
                     struct rusm__slice url, struct rusm__bundle_source *out) {
    if (!is_granted(guest, call, guest->profile->network, RUSM__REFUSED_FROM_URL, out->whole,
                    "spawn-from url denied: missing the network capability"))
        return false;
    if (memchr(url.ptr, '\0', url.len)) {
        refuse_source(call, "a zero byte in ", out->whole, "");
        return false;
    }
    out->place = is_listed(guest->profile, url) ? RUSM__BUNDLE_URL_LOCAL : RUSM__BUNDLE_URL;
    out->first = url;
    out->key = (struct rusm__slice){(const unsigned char *)"", 1}; /* ends the URL */
    return true;
}

static bool take_source(struct rusm__guest *guest, struct rusm__bundle_call *call,
                        struct rusm__slice text, struct rusm__bundle_source *out) {
    struct rusm__slice rest = trim(text);
    *out = (struct rusm__bundle_source){.whole = rest};
    if (take_prefix(&rest, "inline:"))
        return take_inline(call, rest, out);
    if (!is_short(call, out->whole))
        return false;
    if (take_prefix(&rest, "kv:"))
        return take_kv(guest, call, rest, out);
    take_prefix(&rest, "url:");
    struct rusm__slice url = rest;
    if (take_prefix(&rest, "http://") || take_prefix(&rest, "https://"))
        return take_url(guest, call, url, out);
    refuse_source(call, "unrecognised bundle source ", out->whole,
                  " (expected `inline:<…>`, `kv:<bucket>/<key>`, or `http(s)://…`)");
    return false;
}

static struct rusm__template *
find_template(struct rusm__guest *guest, struct rusm__bundle_call *call, struct rusm__slice name) {
    const struct rusm__registration *found =
        rusm__registered_find(&rusm__hostcall_of(guest)->registered, name.ptr, name.len);
    if (!found)
        refuse_with(call, "unknown component `", name, "`");
    else if (!found->template)
        refuse_with(call, "`", name,
                    "` is not a dynamic template (use `spawn` for a fixed component)");
    return found ? found->template : NULL;
}

/* ---- the call ---- */

/* The guest's block, idle; NULL when memory is short. */
static struct rusm__bundle_call *call_of(struct rusm__guest *guest) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    if (!calls->spawn_from) {
        calls->spawn_from = rusm__mem_try_zalloc(sizeof(*calls->spawn_from));
        if (!calls->spawn_from)
            return NULL;
        rusm__list_init(&calls->spawn_from->waiting);
        calls->spawn_from->pid = guest->pid;
    }
    return calls->spawn_from;
}

void rusm__guest_spawn_from_begin(struct rusm__guest *guest, struct rusm__slice component,
                                  struct rusm__slice source) {
    struct rusm__bundle_source from;
    struct rusm__bundle_call *call = call_of(guest);
    if (!call) /* then the poll finds none, either */
        return;
    if (!is_granted(guest, call, guest->profile->spawn, RUSM__REFUSED_SPAWN_FROM, component,
                    "spawn denied: missing the spawn capability"))
        return;
    struct rusm__template *template = find_template(guest, call, component);
    if (template && take_source(guest, call, source, &from))
        rusm__bundles_ask(&rusm__hostcall_of(guest)->bundles, template, &from, call);
}

static uint32_t answer_error(struct rusm__bundle_call *call, struct rusm__bytes *out_error) {
    char *text = call->error;
    call->error = NULL;
    if (text)
        *out_error = (struct rusm__bytes){(const unsigned char *)text, strlen(text), text};
    else
        *out_error = rusm__bytes_static("out of memory");
    return RUSM__CALL_NONE;
}

/* The child holds its component from the moment when it is spawned. */
static uint32_t answer_spawn(struct rusm__guest *guest, struct rusm__bundle_call *call,
                             uint64_t *out_pid, struct rusm__bytes *out_error) {
    struct rusm__component *component = call->component;
    call->component = NULL;
    uint32_t answer = rusm__actor_spawn_found(guest, component, out_pid, out_error);
    rusm__component_let_go(component);
    return answer;
}

uint32_t rusm__guest_spawn_from_poll(struct rusm__guest *guest, uint64_t *out_pid,
                                     struct rusm__bytes *out_error) {
    struct rusm__bundle_call *call = rusm__calls_of(guest)->spawn_from;
    if (!call) {
        *out_error = rusm__bytes_static("out of memory");
        return RUSM__CALL_NONE;
    }
    /* acquire: pairs with the release in set_state of bundles.c */
    if (atomic_load_explicit(&call->state, memory_order_acquire) != RUSM__BUNDLE_DONE)
        return RUSM__CALL_PENDING;
    atomic_store_explicit(&call->state, RUSM__BUNDLE_IDLE, memory_order_relaxed);
    return call->component ? answer_spawn(guest, call, out_pid, out_error)
                           : answer_error(call, out_error);
}

void rusm__guest_spawn_from_end(struct rusm__guest *guest) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    if (!calls->spawn_from)
        return;
    rusm__bundles_forget(&rusm__hostcall_of(guest)->bundles, calls->spawn_from);
    rusm__mem_free(calls->spawn_from);
    calls->spawn_from = NULL;
}
