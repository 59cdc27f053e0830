/* SPDX-License-Identifier: MIT */
/* kv: the durable store for guests.
 *
 *   begin   read:  the question is noted             write: it is queued, everything is copied
 *   poll    read:  asks to be run off the stack,     write: PENDING until the commit thread says
 *                  where the store is looked at;            that it is durable, and wakes
 *                  then the answer is there
 *
 * A list of more than LIST_LOOKS entries is begun anew on a thread of its own (lister.h), in one
 * transaction there, and goes on as a write does: PENDING until that thread wakes.
 *
 * So neither the file nor its flushes are ever met on a guest's stack, and no scheduler waits for a
 * disk. A guest has one call at a time; its block is kept for the next one. */
#include "hostcall/hostcall_impl.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "kv/kv.h"
#include "proc/proc.h"

/* Entries that a list may look at on a scheduler: some 100 us. */
#define LIST_LOOKS 1024u

enum state {
    IDLE,  /* the block waits for its next call */
    ASKED, /* a read that was not looked up yet */
    AWAY,  /* a write or a long list: the commit thread or the lister holds it, too */
    DONE,  /* `code` and what belongs to it is set */
};

struct rusm__kv_call {
    struct rusm__store *store;
    rusm_pid pid;
    struct rusm__list_job job;
    uint64_t untaken_bytes; /* its part of the store's; the guest's once it is DONE */
    /* AWAY until the other thread stores DONE: release, so that the poll that sees it (acquire)
     * sees the result. All other states are the guest's own. */
    _Atomic int state;
    /* The guest is gone; changed with store->lock held. */
    _Atomic bool orphaned;
    enum rusm__kv_op op;
    int code;
    bool found;
    struct rusm__kv_value value; /* owned until it is handed out */
    struct rusm__kv_keys keys;
    int64_t number;
    struct rusm__kv_error error;
    uint32_t limit;
    bool has_after;
    size_t bucket_len, key_len, after_len;
    unsigned char text[RUSM__KV_MAX_KEY_BYTES];  /* bucket and key of a read */
    unsigned char after[RUSM__KV_MAX_KEY_BYTES]; /* where a page goes on */
};

/* What a list hands out is what the store made. */
static_assert(sizeof(struct rusm__slice) == sizeof(struct rusm__kv_bytes) &&
                  offsetof(struct rusm__slice, len) == offsetof(struct rusm__kv_bytes, len),
              "the same layout");

static int state_of(struct rusm__kv_call *call) {
    return atomic_load_explicit(&call->state, memory_order_acquire);
}

static void set_state(struct rusm__kv_call *call, enum state state) {
    atomic_store_explicit(&call->state, (int)state, memory_order_release);
}

static void finish(struct rusm__kv_call *call, int code) {
    call->code = code;
    set_state(call, DONE);
}

static void fail(struct rusm__kv_call *call, int code, const char *text) {
    snprintf(call->error.text, sizeof(call->error.text), "%s", text);
    finish(call, code);
}

/* ---- reads, off the stack ---- */

static int look_up_page(struct rusm__kv_call *call, struct rusm__kv_reader *reader) {
    struct rusm__kv_bytes after = {call->after, call->after_len};
    struct rusm__kv_range range = {.bucket = {call->text, call->bucket_len},
                                   .prefix = {call->text + call->bucket_len, call->key_len},
                                   .after = call->has_after ? &after : NULL,
                                   .limit = call->limit};
    return rusm__kv_page(reader, &range, &call->keys, &call->found, &call->error);
}

/* RUSM_EAGAIN: it is too long for this thread. */
static int list_some(struct rusm__kv_call *call, struct rusm__kv_reader *reader) {
    static const struct rusm__kv_patience little = {.max_looks = LIST_LOOKS};
    struct rusm__kv_bytes bucket = {call->text, call->bucket_len};
    return rusm__kv_list_within(reader, bucket, &little, &call->keys, &call->error);
}

static int look_up(struct rusm__kv_call *call, struct rusm__kv_reader *reader) {
    struct rusm__kv_bytes bucket = {call->text, call->bucket_len};
    struct rusm__kv_bytes key = {call->text + call->bucket_len, call->key_len};
    int code = RUSM_EINVAL;
    switch (call->op) {
    case RUSM__KV_GET:
        code = rusm__kv_get(reader, bucket, key, &call->value, &call->error);
        call->found = code == RUSM_OK;
        code = code == RUSM_ENOTFOUND ? RUSM_OK : code;
        break;
    case RUSM__KV_EXISTS:
        code = rusm__kv_exists(reader, bucket, key, &call->found, &call->error);
        break;
    case RUSM__KV_LIST:
        code = list_some(call, reader);
        break;
    case RUSM__KV_KEYS:
        code = look_up_page(call, reader);
        break;
    case RUSM__KV_SET:
    case RUSM__KV_DELETE:
    case RUSM__KV_COMPARE_AND_SET:
    case RUSM__KV_INCREMENT:
    case RUSM__KV_BATCH:
        break;
    }
    return code;
}

static bool list_away(struct rusm__kv_call *call);

/* False: another thread goes on with it. */
static bool read_now(struct rusm__guest *guest) {
    struct rusm__kv_call *call = rusm__calls_of(guest)->kv;
    struct rusm__kv_reader *reader;
    int code = rusm__store_reader(call->store, &reader, &call->error);
    if (code == RUSM_OK)
        code = look_up(call, reader);
    if (code == RUSM_EAGAIN)
        return !list_away(call);
    finish(call, code);
    return true;
}

static bool fits(struct rusm__kv_call *call, size_t bucket_len, size_t key_len) {
    size_t most = sizeof(call->text);
    if (bucket_len <= most && key_len <= most - bucket_len)
        return true;
    snprintf(call->error.text, sizeof(call->error.text),
             "bucket and key have %zu bytes together, the limit is %zu", bucket_len + key_len,
             most);
    finish(call, RUSM_ETOOBIG);
    return false;
}

static void ask(struct rusm__kv_call *call, const struct rusm__kv_request *request) {
    struct rusm__slice bucket = request->bucket, key = request->key, after = request->other;
    if (!fits(call, bucket.len, key.len) ||
        (request->has_other && !fits(call, bucket.len, after.len)))
        return;
    memcpy(call->text, bucket.ptr, bucket.len);
    memcpy(call->text + bucket.len, key.ptr, key.len);
    call->bucket_len = bucket.len;
    call->key_len = key.len;
    call->limit = request->limit;
    call->has_after = request->has_other;
    call->after_len = request->has_other ? after.len : 0;
    memcpy(call->after, after.ptr, call->after_len);
    set_state(call, ASKED);
}

/* ---- calls that another thread goes on with ---- */

static void owe(struct rusm__store *store, int more) {
    pthread_mutex_lock(&store->lock);
    store->owed += (uint64_t)(int64_t)more;
    if (!store->owed)
        pthread_cond_broadcast(&store->quiet);
    pthread_mutex_unlock(&store->lock);
}

/* Relaxed: seen a moment late, a list that nobody wants goes on for that moment. */
static bool is_wanted(void *arg) {
    struct rusm__kv_call *call = arg;
    return !atomic_load_explicit(&call->orphaned, memory_order_relaxed);
}

/* With the lock held, which orders it. */
static bool is_orphaned_locked(struct rusm__kv_call *call) {
    return !is_wanted(call);
}

static void go_away(struct rusm__kv_call *call) {
    owe(call->store, 1);
    set_state(call, AWAY);
}

/* On the other thread, with the lock held, of a call whose guest is there. From here on the call is
 * the guest's. */
static void settle_locked(struct rusm__kv_call *call, int code, const char *text) {
    rusm_runtime *runtime = call->store->runtime;
    rusm_pid pid = call->pid;
    fail(call, code, text);
    (void)rusm__proc_wake(runtime, pid); /* without a process nobody waits any more */
}

static void pay_back_locked(struct rusm__store *store) {
    if (--store->owed == 0)
        pthread_cond_broadcast(&store->quiet);
}

/* ---- long lists ---- */

/* Guests that are slow to take their lists hold up the next list and not the memory of all. */
static void wait_for_room(struct rusm__kv_call *call) {
    struct rusm__store *store = call->store;
    pthread_mutex_lock(&store->lock);
    while (store->untaken_bytes >= store->max_untaken_bytes && is_wanted(call))
        pthread_cond_wait(&store->taken, &store->lock);
    pthread_mutex_unlock(&store->lock);
}

/* Its keys changed hands, or nobody takes them any more. */
static void give_room_locked(struct rusm__kv_call *call) {
    call->store->untaken_bytes -= call->untaken_bytes;
    call->untaken_bytes = 0;
    pthread_cond_signal(&call->store->taken); /* the lister alone waits */
}

static void give_room(struct rusm__kv_call *call) {
    pthread_mutex_lock(&call->store->lock);
    give_room_locked(call);
    pthread_mutex_unlock(&call->store->lock);
}

/* The last key ends their block. */
static uint64_t bytes_of_keys(const struct rusm__kv_keys *keys) {
    if (!keys->count)
        return 0;
    const struct rusm__kv_bytes *last = &keys->keys[keys->count - 1];
    return (uint64_t)(last->ptr + last->len - (const unsigned char *)keys->keys);
}

/* Takes the keys. */
static void listed(struct rusm__kv_call *call, int code, struct rusm__kv_keys keys,
                   const struct rusm__kv_error *error) {
    struct rusm__store *store = call->store;
    pthread_mutex_lock(&store->lock);
    bool orphaned = is_orphaned_locked(call);
    if (!orphaned) {
        call->keys = keys;
        call->untaken_bytes = bytes_of_keys(&keys);
        store->untaken_bytes += call->untaken_bytes;
        settle_locked(call, code, error->text);
    }
    pay_back_locked(store);
    pthread_mutex_unlock(&store->lock);
    if (orphaned) {
        rusm__mem_free(keys.keys);
        rusm__mem_free(call);
    }
}

/* On the lister's thread. */
static void run_list(struct rusm__lister *lister, struct rusm__list_job *job) {
    struct rusm__kv_call *call = rusm__list_entry(job, struct rusm__kv_call, job);
    const struct rusm__kv_patience patience = {.is_wanted = is_wanted, .arg = call};
    struct rusm__kv_bytes bucket = {call->text, call->bucket_len};
    struct rusm__kv_keys keys = {0};
    struct rusm__kv_error error = {{0}};
    struct rusm__kv_reader *reader;
    wait_for_room(call);
    int code = is_wanted(call) ? rusm__lister_reader(lister, &reader, &error) : RUSM_EEXITING;
    if (code == RUSM_OK)
        code = rusm__kv_list_within(reader, bucket, &patience, &keys, &error);
    listed(call, code, keys, &error);
}

/* False: it could not go, and has its answer. */
static bool list_away(struct rusm__kv_call *call) {
    call->job.run = run_list;
    call->error.text[0] = '\0';
    go_away(call);
    int code = rusm__lister_add(&call->store->lister, &call->job, &call->error);
    if (code < 0) {
        owe(call->store, -1);
        finish(call, code);
    }
    return code == RUSM_OK;
}

/* ---- writes ---- */

/* On the commit thread. */
static void written(void *arg, const struct rusm__kv_result *result) {
    struct rusm__kv_call *call = arg;
    struct rusm__store *store = call->store;
    pthread_mutex_lock(&store->lock);
    if (is_orphaned_locked(call)) {
        rusm__mem_free(call);
    } else {
        call->found = result->existed;
        call->number = result->number;
        settle_locked(call, result->code, result->text);
    }
    pay_back_locked(store);
    pthread_mutex_unlock(&store->lock);
}

static struct rusm__kv_bytes bytes_of(struct rusm__slice slice) {
    return (struct rusm__kv_bytes){slice.ptr, slice.len};
}

static struct rusm__kv_change change_of(const struct rusm__kv_change_in *in) {
    return (struct rusm__kv_change){.bucket = bytes_of(in->bucket),
                                    .key = bytes_of(in->key),
                                    .value = bytes_of(in->value),
                                    .is_delete = !in->has_value,
                                    .expires = in->has_ttl,
                                    .ttl_ms = in->ttl_ms};
}

/* Of a request that is no batch. */
static struct rusm__kv_change only_change_of(const struct rusm__kv_request *request) {
    const struct rusm__kv_change_in in = {.bucket = request->bucket,
                                          .key = request->key,
                                          .value = request->value,
                                          .has_value = request->has_value,
                                          .has_ttl = request->has_ttl,
                                          .ttl_ms = request->ttl_ms};
    return change_of(&in);
}

static int submit_batch(struct rusm__kv_call *call, const struct rusm__kv_request *request) {
    size_t count = request->change_count;
    if (count > RUSM__KV_BATCH_CHANGES) {
        snprintf(call->error.text, sizeof(call->error.text),
                 "kv batch too large: %zu changes, at most %u are allowed", count,
                 RUSM__KV_BATCH_CHANGES);
        return RUSM_ETOOBIG;
    }
    struct rusm__kv_change *changes = rusm__mem_try_alloc((count + 1) * sizeof(*changes));
    if (!changes)
        return RUSM_ENOMEM;
    for (size_t i = 0; i < count; i++)
        changes[i] = change_of(&request->changes[i]);
    int code = rusm__kv_batch(call->store->kv, changes, count, written, call, &call->error);
    rusm__mem_free(changes);
    return code;
}

static int submit_swap(struct rusm__kv_call *call, const struct rusm__kv_request *request) {
    struct rusm__kv_change change = only_change_of(request);
    struct rusm__kv_bytes expected = bytes_of(request->other);
    return rusm__kv_compare_and_set(call->store->kv, request->has_other ? &expected : NULL, &change,
                                    written, call, &call->error);
}

static int submit_op(struct rusm__kv_call *call, const struct rusm__kv_request *request) {
    struct rusm__kv *kv = call->store->kv;
    struct rusm__kv_change change = only_change_of(request);
    switch (call->op) {
    case RUSM__KV_INCREMENT:
        return rusm__kv_increment(kv, change.bucket, change.key, request->delta, written, call,
                                  &call->error);
    case RUSM__KV_COMPARE_AND_SET:
        return submit_swap(call, request);
    case RUSM__KV_BATCH:
        return submit_batch(call, request);
    default: /* set, with or without a time, and delete */
        return rusm__kv_batch(kv, &change, 1, written, call, &call->error);
    }
}

static void submit(struct rusm__kv_call *call, const struct rusm__kv_request *request) {
    go_away(call);
    int code = submit_op(call, request);
    if (code < 0) {
        owe(call->store, -1);
        finish(call, code);
    }
}

/* ---- the calls ---- */

static void deny(struct rusm__guest *guest, const struct rusm__kv_request *request) {
    struct rusm__slice bucket =
        request->change_count ? request->changes[0].bucket : request->bucket;
    enum rusm__refusal what = (enum rusm__refusal)(RUSM__REFUSED_KV + request->op);
    rusm__gate_deny(guest, what, bucket.ptr, bucket.len);
}

/* The guest's block, ready for a call; NULL when memory is short. */
static struct rusm__kv_call *prepare(struct rusm__guest *guest, uint32_t op) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    if (!calls->kv)
        calls->kv = rusm__mem_try_zalloc(sizeof(*calls->kv));
    if (!calls->kv)
        return NULL;
    calls->kv->store = &rusm__hostcall_of(guest)->store;
    calls->kv->pid = guest->pid;
    calls->kv->op = (enum rusm__kv_op)op;
    calls->kv->found = false;
    calls->kv->number = 0;
    calls->kv->error.text[0] = '\0';
    return calls->kv;
}

static bool is_read(enum rusm__kv_op op) {
    return op == RUSM__KV_GET || op == RUSM__KV_EXISTS || op == RUSM__KV_LIST ||
           op == RUSM__KV_KEYS;
}

void rusm__guest_kv_begin(struct rusm__guest *guest, const struct rusm__kv_request *request) {
    struct rusm__kv_call *call = prepare(guest, request->op);
    if (!call)
        return; /* the poll finds none */
    if (!guest->profile->storage) {
        deny(guest, request);
        fail(call, RUSM_EPERM, "kv denied: missing the storage capability");
    } else if (!call->store->kv) {
        fail(call, RUSM_ESTATE, "kv unavailable: no store configured on this node");
    } else if (is_read(call->op)) {
        ask(call, request);
    } else {
        submit(call, request);
    }
}

/* A text that holds the path of the store may have been cut in the middle of a character. */
static struct rusm__bytes error_text(const struct rusm__kv_call *call) {
    const char *text = call ? call->error.text : "out of memory";
    bool is_good = *text && rusm__utf8_is_valid(text, strlen(text));
    return rusm__bytes_static(is_good ? text : rusm_error_text(call->code));
}

/* What was found changes hands with the answer. */
static uint32_t answer(struct rusm__kv_call *call, struct rusm__kv_answer *out) {
    set_state(call, IDLE);
    if (call->code < 0) {
        out->value = error_text(call);
        return RUSM__CALL_NONE;
    }
    out->found = call->found;
    if (call->op == RUSM__KV_GET && call->found)
        out->value = (struct rusm__bytes){call->value.data, call->value.len, call->value.data};
    out->number = call->number;
    if (call->op == RUSM__KV_LIST || call->op == RUSM__KV_KEYS) {
        out->keys = (const struct rusm__slice *)(const void *)call->keys.keys;
        out->key_count = call->keys.count;
        out->keys_owner = call->keys.keys;
    }
    call->value = (struct rusm__kv_value){0};
    call->keys = (struct rusm__kv_keys){0};
    if (call->untaken_bytes)
        give_room(call);
    return RUSM__CALL_OK;
}

uint32_t rusm__guest_kv_poll(struct rusm__guest *guest, struct rusm__kv_answer *out_answer) {
    struct rusm__kv_call *call = rusm__calls_of(guest)->kv;
    *out_answer = (struct rusm__kv_answer){0};
    if (!call) {
        out_answer->value = error_text(NULL);
        return RUSM__CALL_NONE;
    }
    switch (state_of(call)) {
    case DONE:
        return answer(call, out_answer);
    case ASKED:
        guest->off_stack = read_now;
        return RUSM__CALL_PENDING;
    default:
        return RUSM__CALL_PENDING;
    }
}

/* The guest ended, maybe while another thread holds its call: then that one frees the block. */
void rusm__guest_kv_end(struct rusm__guest *guest) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    struct rusm__kv_call *call = calls->kv;
    if (!call)
        return;
    calls->kv = NULL;
    struct rusm__store *store = call->store;
    pthread_mutex_lock(&store->lock);
    bool is_away = state_of(call) == AWAY;
    atomic_store_explicit(&call->orphaned, is_away, memory_order_relaxed); /* as is_wanted */
    give_room_locked(call);
    pthread_mutex_unlock(&store->lock);
    if (is_away)
        return;
    rusm__mem_free(call->value.data);
    rusm__mem_free(call->keys.keys);
    rusm__mem_free(call);
}
