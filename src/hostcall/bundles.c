/* SPDX-License-Identifier: MIT */
#include "hostcall/bundles.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "kv/kv.h"
#include "proc/proc.h"

/* An inline source of more bytes is digested by the thread: a scheduler has better things to do. */
#define DIGEST_AT_ONCE_BYTES ((size_t)64 << 10)

#define MAX_REDIRECTS 5u
#define TIMEOUT_MS    30000u

/* What is asked for, by one or more. The first block of memory holds the source's text, too. */
struct rusm__load {
    struct rusm__bundles *bundles;
    struct rusm__list queued; /* or fetching */
    struct rusm__list waiters;
    struct rusm__fetch *fetch; /* NULL: not started, or called off */
    bool is_fetched, is_off;
    unsigned char *body; /* what was fetched, owned; NULL: `why` says why not */
    size_t body_len;
    char *why;
    struct rusm__template *template;
    enum rusm__bundle_place place;
    bool has_digest;
    struct rusm__digest digest; /* of the source; inline: of its bytes */
    size_t first_len, key_len, whole_len;
    unsigned char text[]; /* inline: the bytes; others: first, key, and the source as given */
};

/* ---- calls ---- */

static void set_state(struct rusm__bundle_call *call, enum rusm__bundle_state state) {
    /* release: pairs with the acquire in rusm__guest_spawn_from_poll */
    atomic_store_explicit(&call->state, (int)state, memory_order_release);
}

static void succeed(struct rusm__bundle_call *call, struct rusm__component *component) {
    rusm__component_hold(component);
    call->component = component;
    set_state(call, RUSM__BUNDLE_DONE);
}

static void fail(struct rusm__bundle_call *call, const char *text, size_t len) {
    call->error = rusm__mem_try_strndup(text, len);
    set_state(call, RUSM__BUNDLE_DONE);
}

/* ---- loads ---- */

static void free_load_locked(struct rusm__bundles *bundles, struct rusm__load *load) {
    bundles->load_count--;
    bundles->load_bytes -= load->first_len;
    rusm__fetch_free(load->fetch);
    rusm__mem_free(load->body);
    rusm__mem_free(load->why);
    rusm__mem_free(load);
}

/* Everyone who waits gets the component, or the text when there is none. */
static void finish_locked(struct rusm__bundles *bundles, struct rusm__load *load,
                          struct rusm__component *component, struct rusm__buf *error) {
    struct rusm__list *node;
    const char *text = component ? "" : rusm__buf_cstr(error);
    while ((node = rusm__list_pop_front(&load->waiters))) {
        struct rusm__bundle_call *call = rusm__list_entry(node, struct rusm__bundle_call, waiting);
        rusm_pid pid = call->pid;
        call->load = NULL;
        if (component)
            succeed(call, component);
        else
            fail(call, text, strlen(text));
        /* False: it is ending, and forgets the call. */
        (void)rusm__proc_wake(bundles->runtime, pid);
    }
}

static bool is_same(const struct rusm__load *load, const struct rusm__template *template,
                    enum rusm__bundle_place place, const struct rusm__digest *digest) {
    return load->has_digest && !load->is_off && load->template == template &&
           load->place == place && memcmp(&load->digest, digest, sizeof(*digest)) == 0;
}

static struct rusm__load *find_in(struct rusm__list *list, const struct rusm__template *template,
                                  enum rusm__bundle_place place,
                                  const struct rusm__digest *digest) {
    rusm__list_each(node, list) {
        struct rusm__load *load = rusm__list_entry(node, struct rusm__load, queued);
        if (is_same(load, template, place, digest))
            return load;
    }
    return NULL;
}

static struct rusm__load *find_load_locked(struct rusm__bundles *bundles,
                                           const struct rusm__template *template,
                                           enum rusm__bundle_place place,
                                           const struct rusm__digest *digest) {
    if (bundles->active && is_same(bundles->active, template, place, digest))
        return bundles->active;
    struct rusm__load *load = find_in(&bundles->queue, template, place, digest);
    return load ? load : find_in(&bundles->fetching, template, place, digest);
}

static unsigned char *put(unsigned char *at, struct rusm__slice slice) {
    memcpy(at, slice.ptr, slice.len);
    return at + slice.len;
}

static struct rusm__load *new_load(const struct rusm__bundle_source *source) {
    struct rusm__slice whole =
        source->place == RUSM__BUNDLE_INLINE ? (struct rusm__slice){0} : source->whole;
    struct rusm__load *load =
        rusm__mem_try_zalloc(sizeof(*load) + source->first.len + source->key.len + whole.len);
    if (!load)
        return NULL;
    rusm__list_init(&load->queued);
    rusm__list_init(&load->waiters);
    load->place = source->place;
    load->first_len = source->first.len;
    load->key_len = source->key.len;
    load->whole_len = whole.len;
    unsigned char *at = put(load->text, source->first);
    if (load->key_len)
        at = put(at, source->key);
    if (load->whole_len)
        put(at, whole);
    return load;
}

static struct rusm__load *queue_locked(struct rusm__bundles *bundles,
                                       struct rusm__template *template,
                                       const struct rusm__bundle_source *source,
                                       const struct rusm__digest *digest,
                                       struct rusm__bundle_call *call) {
    static const char busy[] = "too much is being compiled for spawn-from on this node, try later";
    bool is_full = bundles->load_count >= RUSM__LOADS_MAX ||
                   source->first.len > RUSM__LOADS_MAX_BYTES - bundles->load_bytes;
    struct rusm__load *load = is_full ? NULL : new_load(source);
    if (!load) {
        fail(call, is_full ? busy : "out of memory",
             is_full ? sizeof(busy) - 1 : strlen("out of memory"));
        return NULL;
    }
    load->bundles = bundles;
    load->template = template;
    load->has_digest = digest != NULL;
    if (digest)
        load->digest = *digest;
    bundles->load_count++;
    bundles->load_bytes += load->first_len;
    rusm__list_push_back(&bundles->queue, &load->queued);
    pthread_cond_signal(&bundles->work);
    return load;
}

/* ---- asking ---- */

static struct rusm__bundle *find_known_locked(struct rusm__bundles *bundles,
                                              const struct rusm__template *template,
                                              enum rusm__bundle_place place,
                                              const struct rusm__digest *digest) {
    uint64_t now_ns = rusm__clock_ns();
    if (place != RUSM__BUNDLE_INLINE)
        digest = rusm__origin_find(&bundles->table, template, digest, now_ns);
    return digest ? rusm__bundle_find(&bundles->table, template, digest, now_ns) : NULL;
}

static void ask_locked(struct rusm__bundles *bundles, struct rusm__template *template,
                       const struct rusm__bundle_source *source, const struct rusm__digest *digest,
                       struct rusm__bundle_call *call) {
    struct rusm__bundle *known =
        digest ? find_known_locked(bundles, template, source->place, digest) : NULL;
    if (known) {
        succeed(call, known->component);
        return;
    }
    struct rusm__load *load =
        digest ? find_load_locked(bundles, template, source->place, digest) : NULL;
    if (!load)
        load = queue_locked(bundles, template, source, digest, call);
    if (!load)
        return;
    rusm__list_push_back(&load->waiters, &call->waiting);
    call->load = load;
    /* Relaxed: nobody else looks at it before the lock is let go. */
    atomic_store_explicit(&call->state, RUSM__BUNDLE_WAITING, memory_order_relaxed);
}

/* By what a question is known: an inline source by its bytes, any other by its place and name. */
static bool digest_of(const struct rusm__bundle_source *source, struct rusm__digest *out) {
    unsigned char name[1 + RUSM__BUNDLE_NAME_BYTES];
    if (source->place == RUSM__BUNDLE_INLINE) {
        if (source->first.len > DIGEST_AT_ONCE_BYTES)
            return false;
        rusm__component_digest(source->first.ptr, source->first.len, out->bytes);
        return true;
    }
    assert(source->whole.len <= RUSM__BUNDLE_NAME_BYTES);
    name[0] = (unsigned char)source->place;
    memcpy(name + 1, source->whole.ptr, source->whole.len);
    rusm__component_digest(name, 1 + source->whole.len, out->bytes);
    return true;
}

void rusm__bundles_ask(struct rusm__bundles *bundles, struct rusm__template *template,
                       const struct rusm__bundle_source *source, struct rusm__bundle_call *call) {
    struct rusm__digest digest;
    bool at_once = digest_of(source, &digest);
    call->component = NULL;
    call->error = NULL;
    call->load = NULL;
    rusm__list_init(&call->waiting);
    pthread_mutex_lock(&bundles->lock);
    ask_locked(bundles, template, source, at_once ? &digest : NULL, call);
    pthread_mutex_unlock(&bundles->lock);
}

/* What nobody waits for need not be fetched to its end. */
static void call_off_locked(struct rusm__load *load) {
    if (!rusm__list_is_empty(&load->waiters) || !load->fetch)
        return;
    rusm__fetch_free(load->fetch);
    load->fetch = NULL;
    load->is_off = true;
}

void rusm__bundles_forget(struct rusm__bundles *bundles, struct rusm__bundle_call *call) {
    pthread_mutex_lock(&bundles->lock);
    rusm__list_unlink(&call->waiting);
    if (call->load)
        call_off_locked(call->load);
    pthread_mutex_unlock(&bundles->lock);
    if (call->component)
        rusm__component_let_go(call->component);
    rusm__mem_free(call->error);
}

uint64_t rusm__bundles_compiled(struct rusm__bundles *bundles) {
    pthread_mutex_lock(&bundles->lock);
    uint64_t compiled = bundles->compiled;
    pthread_mutex_unlock(&bundles->lock);
    return compiled;
}

/* ---- the thread: getting the bytes ---- */

struct bytes {
    const unsigned char *ptr;
    size_t len;
    void *owner; /* NULL: the load */
};

static int look_up(struct rusm__bundles *bundles, const struct rusm__load *load,
                   struct rusm__kv_value *out_value, struct rusm__kv_error *error) {
    int code = RUSM_OK;
    if (!bundles->reader)
        code = rusm__kv_reader_new(bundles->kv, &bundles->reader, error);
    if (code < 0)
        return code;
    struct rusm__kv_bytes bucket = {load->text, load->first_len};
    struct rusm__kv_bytes key = {load->text + load->first_len, load->key_len};
    return rusm__kv_get(bundles->reader, bucket, key, out_value, error);
}

static bool get_from_store(struct rusm__bundles *bundles, const struct rusm__load *load,
                           struct bytes *out, struct rusm__buf *error) {
    struct rusm__kv_value value = {0};
    struct rusm__kv_error why = {{0}};
    int code = look_up(bundles, load, &value, &why);
    *out = (struct bytes){value.data, value.len, value.data};
    if (code == RUSM_ENOTFOUND) {
        rusm__buf_add_str(error, "bundle not found at ");
        rusm__buf_add(error, load->text + load->first_len + load->key_len, load->whole_len);
    } else if (code < 0) {
        rusm__buf_add_str(error, why.text[0] ? why.text : rusm_error_text(code));
    }
    return code == RUSM_OK;
}

static bool is_url(const struct rusm__load *load) {
    return load->place == RUSM__BUNDLE_URL || load->place == RUSM__BUNDLE_URL_LOCAL;
}

/* The load keeps what was fetched. */
static bool get_fetched(const struct rusm__load *load, struct bytes *out, struct rusm__buf *error) {
    *out = (struct bytes){load->body, load->body_len, NULL};
    if (!load->body)
        rusm__buf_addf(error, "fetching %s: %s", (const char *)load->text,
                       load->why ? load->why : "out of memory");
    return load->body != NULL;
}

static bool get_bytes(struct rusm__bundles *bundles, const struct rusm__load *load,
                      struct bytes *out, struct rusm__buf *error) {
    if (load->place == RUSM__BUNDLE_KV)
        return get_from_store(bundles, load, out, error);
    if (is_url(load))
        return get_fetched(load, out, error);
    *out = (struct bytes){load->text, load->first_len, NULL};
    return true;
}

/* ---- the thread: compiling ---- */

static struct rusm__bundle *compile(const struct rusm__load *load, const struct bytes *bytes,
                                    const struct rusm__digest *digest, struct rusm__buf *error) {
    struct rusm__template *template = load->template;
    struct rusm__component_options options = {.name = template->name,
                                              .entry = template->entry,
                                              .profile = template->profile,
                                              .dynamic = &template->how};
    struct rusm__bundle *bundle = rusm__mem_try_zalloc(sizeof(*bundle));
    if (!bundle) {
        rusm__buf_add_str(error, "out of memory");
        return NULL;
    }
    int code = rusm__component_load(template->sandbox, bytes->ptr, bytes->len, &options,
                                    &bundle->component, error);
    if (code == RUSM_OK) {
        bundle->template = template;
        bundle->digest = *digest;
        return bundle;
    }
    if (!error->len)
        rusm__buf_add_str(error, rusm_error_text(code));
    rusm__mem_free(bundle);
    return NULL;
}

static void add_no_room(struct rusm__buf *error) {
    rusm__buf_addf(error,
                   "no room for another dynamic component: %d are kept, or %zu MiB of their "
                   "machine code, and all of them run",
                   RUSM__BUNDLES_MAX, RUSM__BUNDLES_CODE_BYTES >> 20);
}

/* False: it found no room, and is among those to unload. */
static bool keep_locked(struct rusm__bundles *bundles, struct rusm__bundle *bundle,
                        struct rusm__buf *error, struct rusm__bundle **out_gone) {
    size_t code_bytes = rusm__component_code_bytes(bundle->component);
    bundles->compiled++;
    if (rusm__bundle_make_room(&bundles->table, code_bytes, out_gone)) {
        rusm__bundle_insert(&bundles->table, bundle, rusm__clock_ns());
        return true;
    }
    add_no_room(error);
    bundle->chain = *out_gone;
    *out_gone = bundle;
    return false;
}

static void note_origin_locked(struct rusm__bundles *bundles, const struct rusm__load *load,
                               const struct rusm__digest *content, uint64_t since_ns) {
    if (load->place != RUSM__BUNDLE_INLINE && bundles->ttl_ns)
        rusm__origin_note(&bundles->table, load->template, &load->digest, content,
                          since_ns + bundles->ttl_ns);
}

/* The load is still the active one, so whoever asks for the same meanwhile joins it. */
static void settle(struct rusm__bundles *bundles, struct rusm__load *load,
                   const struct bytes *bytes, struct rusm__buf *error) {
    uint64_t since_ns = rusm__clock_ns();
    struct rusm__bundle *gone = NULL, *bundle = NULL;
    struct rusm__digest digest;
    rusm__component_digest(bytes->ptr, bytes->len, digest.bytes);
    pthread_mutex_lock(&bundles->lock);
    struct rusm__bundle *known =
        rusm__bundle_find(&bundles->table, load->template, &digest, since_ns);
    if (!known) {
        pthread_mutex_unlock(&bundles->lock);
        bundle = compile(load, bytes, &digest, error);
        pthread_mutex_lock(&bundles->lock);
        if (bundle && keep_locked(bundles, bundle, error, &gone))
            known = bundle;
    }
    if (known)
        note_origin_locked(bundles, load, &digest, since_ns);
    finish_locked(bundles, load, known ? known->component : NULL, error);
    bundles->active = NULL;
    free_load_locked(bundles, load);
    pthread_mutex_unlock(&bundles->lock);
    rusm__bundles_unload(gone);
}

static void give_up(struct rusm__bundles *bundles, struct rusm__load *load,
                    struct rusm__buf *error) {
    pthread_mutex_lock(&bundles->lock);
    finish_locked(bundles, load, NULL, error);
    bundles->active = NULL;
    free_load_locked(bundles, load);
    pthread_mutex_unlock(&bundles->lock);
}

static void run(struct rusm__bundles *bundles, struct rusm__load *load) {
    struct bytes bytes = {0};
    struct rusm__buf error;
    rusm__buf_init(&error);
    if (get_bytes(bundles, load, &bytes, &error))
        settle(bundles, load, &bytes, &error);
    else
        give_up(bundles, load, &error);
    rusm__mem_free(bytes.owner);
    rusm__buf_fini(&error);
}

/* ---- fetching ---- */

/* On the reactor's thread. One byte more than nothing, so that nothing is a body, too. */
static void fetched(void *arg, int code, const unsigned char *bytes, size_t len, const char *text) {
    struct rusm__load *load = arg;
    struct rusm__bundles *bundles = load->bundles;
    unsigned char *body = code == RUSM_OK ? rusm__mem_try_alloc(len + 1) : NULL;
    char *why = body ? NULL
                     : rusm__mem_try_strndup(code < 0 ? text : "out of memory",
                                             strlen(code < 0 ? text : "out of memory"));
    if (body)
        memcpy(body, bytes, len);
    pthread_mutex_lock(&bundles->lock);
    load->body = body;
    load->body_len = len;
    load->why = why;
    load->is_fetched = true;
    rusm__list_unlink(&load->queued);
    rusm__list_push_front(&bundles->queue, &load->queued);
    pthread_cond_signal(&bundles->work);
    pthread_mutex_unlock(&bundles->lock);
}

/* It waits among those that are fetched, so it can be joined and is found when the node closes. A
 * start that fails is an answer like any other. */
static void start_fetch_locked(struct rusm__bundles *bundles, struct rusm__load *load) {
    struct rusm__fetch_options options = {
        .url = (const char *)load->text,
        .max_bytes = RUSM__BUNDLE_MAX_BYTES,
        .max_redirects = MAX_REDIRECTS,
        .timeout_ms = TIMEOUT_MS,
        .allow_local = load->place == RUSM__BUNDLE_URL_LOCAL,
        .done = fetched,
        .arg = load,
    };
    struct rusm__fetch *fetch = NULL;
    struct rusm__buf error;
    rusm__buf_init(&error);
    rusm__list_push_back(&bundles->fetching, &load->queued);
    bundles->active = NULL;
    pthread_mutex_unlock(&bundles->lock);
    int code = rusm__fetch_start(&options, &fetch, &error);
    if (code < 0)
        fetched(load, code, NULL, 0, rusm__buf_cstr(&error));
    pthread_mutex_lock(&bundles->lock);
    load->fetch = fetch; /* only this thread frees loads, so it is still there */
    call_off_locked(load);
    rusm__buf_fini(&error);
}

/* The node closes: everything comes back soon. */
static void end_fetches_locked(struct rusm__bundles *bundles) {
    rusm__list_each(node, &bundles->fetching) {
        struct rusm__load *load = rusm__list_entry(node, struct rusm__load, queued);
        rusm__fetch_free(load->fetch);
        load->fetch = NULL;
    }
    while (!rusm__list_is_empty(&bundles->fetching))
        pthread_cond_wait(&bundles->work, &bundles->lock);
}

/* ---- the thread: its loop ---- */

/* Nobody waits for it any more: nothing is fetched or compiled. */
static bool is_unwanted_locked(struct rusm__bundles *bundles, struct rusm__load *load) {
    if (!rusm__list_is_empty(&load->waiters) && !bundles->closing)
        return false;
    free_load_locked(bundles, load);
    return true;
}

static struct rusm__load *take_locked(struct rusm__bundles *bundles) {
    struct rusm__list *node;
    while ((node = rusm__list_pop_front(&bundles->queue))) {
        struct rusm__load *load = rusm__list_entry(node, struct rusm__load, queued);
        if (!is_unwanted_locked(bundles, load))
            return load;
    }
    return NULL;
}

static void expire_locked(struct rusm__bundles *bundles, uint64_t *out_due_ns) {
    struct rusm__bundle *gone;
    rusm__bundle_expire(&bundles->table, rusm__clock_ns(), bundles->ttl_ns, &gone, out_due_ns);
    if (!gone)
        return;
    pthread_mutex_unlock(&bundles->lock);
    rusm__bundles_unload(gone);
    pthread_mutex_lock(&bundles->lock);
}

static void *work(void *arg) {
    struct rusm__bundles *bundles = arg;
    pthread_mutex_lock(&bundles->lock);
    while (!bundles->closing) {
        uint64_t due_ns;
        expire_locked(bundles, &due_ns);
        bundles->active = take_locked(bundles);
        if (bundles->active && is_url(bundles->active) && !bundles->active->is_fetched) {
            start_fetch_locked(bundles, bundles->active);
        } else if (bundles->active) {
            struct rusm__load *load = bundles->active;
            pthread_mutex_unlock(&bundles->lock);
            run(bundles, load);
            pthread_mutex_lock(&bundles->lock);
        } else if (!bundles->closing) {
            rusm__cond_wait_until(&bundles->work, &bundles->lock, due_ns);
        }
    }
    end_fetches_locked(bundles);
    /* Closing: whatever is queued is unwanted. */
    (void)take_locked(bundles);
    pthread_mutex_unlock(&bundles->lock);
    return NULL;
}

/* ---- life ---- */

int rusm__bundles_init(struct rusm__bundles *bundles, rusm_runtime *runtime, struct rusm__kv *kv,
                       uint64_t ttl_ns) {
    *bundles = (struct rusm__bundles){.runtime = runtime, .kv = kv, .ttl_ns = ttl_ns};
    int code = rusm__bundle_table_init(&bundles->table);
    if (code < 0)
        return code;
    rusm__list_init(&bundles->queue);
    rusm__list_init(&bundles->fetching);
    rusm__cond_init_monotonic(&bundles->work);
    pthread_mutex_init(&bundles->lock, NULL);
    return RUSM_OK;
}

int rusm__bundles_start(struct rusm__bundles *bundles) {
    if (bundles->is_started)
        return RUSM_OK;
    int code = rusm__thread_start(&bundles->thread, "rusm-compile", work, bundles);
    bundles->is_started = code == RUSM_OK;
    return code;
}

void rusm__bundles_stop(struct rusm__bundles *bundles) {
    pthread_mutex_lock(&bundles->lock);
    bundles->closing = true;
    pthread_cond_signal(&bundles->work);
    pthread_mutex_unlock(&bundles->lock);
    if (bundles->is_started)
        pthread_join(bundles->thread, NULL);
    bundles->is_started = false;
    rusm__kv_reader_free(bundles->reader);
    bundles->reader = NULL;
    rusm__bundle_table_fini(&bundles->table);
}

void rusm__bundles_fini(struct rusm__bundles *bundles) {
    pthread_cond_destroy(&bundles->work);
    pthread_mutex_destroy(&bundles->lock);
}
