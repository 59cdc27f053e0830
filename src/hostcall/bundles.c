/* SPDX-License-Identifier: MIT */
/* The side of those who ask: calls, the loads that they wait for, and the life of it all. */
#include "hostcall/bundles_impl.h"

#include <assert.h>
#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "kv/kv.h"
#include "proc/proc.h"

/* An inline source of more bytes is digested by the thread: a scheduler has better things to do. */
#define DIGEST_AT_ONCE_BYTES ((size_t)64 << 10)

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

void rusm__load_free_locked(struct rusm__bundles *bundles, struct rusm__load *load) {
    bundles->load_count--;
    bundles->load_bytes -= load->first_len;
    bundles->fetch_count -= load->holds_fetch;
    rusm__fetch_free(load->fetch);
    rusm__mem_free(load->body);
    rusm__mem_free(load->why);
    rusm__mem_free(load);
}

void rusm__load_finish_locked(struct rusm__bundles *bundles, struct rusm__load *load,
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

/* By what a question is known: an inline source by its bytes, any other by its place and name,
 * which are put together in `name`. */
static struct rusm__slice question_of(const struct rusm__bundle_source *source,
                                      unsigned char name[1 + RUSM__BUNDLE_NAME_BYTES]) {
    if (source->place == RUSM__BUNDLE_INLINE)
        return source->first;
    assert(source->whole.len <= RUSM__BUNDLE_NAME_BYTES);
    name[0] = (unsigned char)source->place;
    memcpy(name + 1, source->whole.ptr, source->whole.len);
    return (struct rusm__slice){name, 1 + source->whole.len};
}

/* The lock is let go for the work of a digest that is not remembered. */
static void digest_locked(struct rusm__bundles *bundles, struct rusm__slice question,
                          struct rusm__digest *out) {
    const struct rusm__digest *known = rusm__memo_find(&bundles->memo, question.ptr, question.len);
    if (known) {
        *out = *known;
        return;
    }
    pthread_mutex_unlock(&bundles->lock);
    rusm__component_digest(question.ptr, question.len, out->bytes);
    pthread_mutex_lock(&bundles->lock);
    rusm__memo_keep(&bundles->memo, question.ptr, question.len, out);
}

void rusm__bundles_ask(struct rusm__bundles *bundles, struct rusm__template *template,
                       const struct rusm__bundle_source *source, struct rusm__bundle_call *call) {
    unsigned char name[1 + RUSM__BUNDLE_NAME_BYTES];
    struct rusm__slice question = question_of(source, name);
    bool at_once = question.len <= DIGEST_AT_ONCE_BYTES;
    struct rusm__digest digest;
    call->component = NULL;
    call->error = NULL;
    call->load = NULL;
    rusm__list_init(&call->waiting);
    pthread_mutex_lock(&bundles->lock);
    if (at_once)
        digest_locked(bundles, question, &digest);
    ask_locked(bundles, template, source, at_once ? &digest : NULL, call);
    pthread_mutex_unlock(&bundles->lock);
}

void rusm__load_call_off_locked(struct rusm__load *load) {
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
        rusm__load_call_off_locked(call->load);
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

/* ---- life ---- */

void rusm__bundles_init(struct rusm__bundles *bundles, rusm_runtime *runtime, struct rusm__kv *kv,
                        uint64_t ttl_ns) {
    *bundles = (struct rusm__bundles){.runtime = runtime, .kv = kv, .ttl_ns = ttl_ns};
    rusm__bundle_table_init(&bundles->table);
    rusm__list_init(&bundles->queue);
    rusm__list_init(&bundles->fetching);
    rusm__cond_init_monotonic(&bundles->work);
    pthread_mutex_init(&bundles->lock, NULL);
}

int rusm__bundles_start(struct rusm__bundles *bundles) {
    if (bundles->is_started)
        return RUSM_OK;
    int code = rusm__bundle_table_open(&bundles->table);
    if (code == RUSM_OK)
        code = rusm__thread_start(&bundles->thread, "rusm-compile", rusm__bundles_work, bundles);
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
    rusm__memo_fini(&bundles->memo);
}

void rusm__bundles_fini(struct rusm__bundles *bundles) {
    pthread_cond_destroy(&bundles->work);
    pthread_mutex_destroy(&bundles->lock);
}
