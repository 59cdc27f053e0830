/* SPDX-License-Identifier: MIT */
/* The thread rusm-compile: it takes one load after the other, gets its bytes, looks whether they
 * are known, compiles them, and answers who waits. URLs are fetched meanwhile, by the engine's
 * client on the reactor's thread. */
#include "hostcall/bundles_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "kv/kv.h"

#define MAX_REDIRECTS 5u
#define TIMEOUT_MS    20000u /* less than the time of a request, so that its handler hears of it */

/* ---- getting the bytes ---- */

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

/* ---- compiling ---- */

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
                   "machine code and DWARF, and all of them run",
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

/* The active one is answered and gone. */
static void end_locked(struct rusm__bundles *bundles, struct rusm__load *load,
                       struct rusm__component *component, struct rusm__buf *error) {
    rusm__load_finish_locked(bundles, load, component, error);
    bundles->active = NULL;
    rusm__load_free_locked(bundles, load);
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
    end_locked(bundles, load, known ? known->component : NULL, error);
    pthread_mutex_unlock(&bundles->lock);
    rusm__bundles_unload(gone);
}

static void run(struct rusm__bundles *bundles, struct rusm__load *load) {
    struct bytes bytes = {0};
    struct rusm__buf error;
    rusm__buf_init(&error);
    if (get_bytes(bundles, load, &bytes, &error)) {
        settle(bundles, load, &bytes, &error);
    } else {
        pthread_mutex_lock(&bundles->lock);
        end_locked(bundles, load, NULL, &error);
        pthread_mutex_unlock(&bundles->lock);
    }
    rusm__mem_free(bytes.owner);
    rusm__buf_fini(&error);
}

/* ---- fetching ---- */

/* On the reactor's thread. One byte more than nothing, so that nothing is a body, too. */
static void fetched(void *arg, int code, const unsigned char *bytes, size_t len, const char *text) {
    struct rusm__load *load = arg;
    struct rusm__bundles *bundles = load->bundles;
    unsigned char *body = code == RUSM_OK ? rusm__mem_try_alloc(len + 1) : NULL;
    char *why = code < 0 ? rusm__mem_try_strndup(text, strlen(text)) : NULL;
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
    bundles->fetch_count++;
    load->holds_fetch = true;
    rusm__list_push_back(&bundles->fetching, &load->queued);
    bundles->active = NULL;
    pthread_mutex_unlock(&bundles->lock);
    int code = rusm__fetch_start(&options, &fetch, &error);
    if (code < 0)
        fetched(load, code, NULL, 0, rusm__buf_cstr(&error));
    pthread_mutex_lock(&bundles->lock);
    load->fetch = fetch; /* only this thread frees loads, so it is still there */
    rusm__load_call_off_locked(load);
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

/* ---- the loop ---- */

/* Does anybody still wait for it? Otherwise nothing is fetched or compiled. */
static bool is_wanted_locked(const struct rusm__bundles *bundles, const struct rusm__load *load) {
    return !rusm__list_is_empty(&load->waiters) && !bundles->closing;
}

static bool is_to_fetch(const struct rusm__load *load) {
    return is_url(load) && !load->is_fetched;
}

/* The next one that something can be done for. Those with bytes, which give back their place among
 * the fetched when they are freed, stand before those that wait for such a place. */
static struct rusm__load *take_locked(struct rusm__bundles *bundles) {
    struct rusm__list *next;
    for (struct rusm__list *node = bundles->queue.next; node != &bundles->queue; node = next) {
        struct rusm__load *load = rusm__list_entry(node, struct rusm__load, queued);
        bool is_wanted = is_wanted_locked(bundles, load);
        next = node->next;
        if (is_wanted && is_to_fetch(load) && bundles->fetch_count >= RUSM__FETCHES_MAX)
            continue;
        rusm__list_unlink(node);
        if (is_wanted)
            return load;
        rusm__load_free_locked(bundles, load);
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

void *rusm__bundles_work(void *arg) {
    struct rusm__bundles *bundles = arg;
    pthread_mutex_lock(&bundles->lock);
    while (!bundles->closing) {
        uint64_t due_ns;
        expire_locked(bundles, &due_ns);
        bundles->active = take_locked(bundles);
        if (bundles->active && is_to_fetch(bundles->active)) {
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
