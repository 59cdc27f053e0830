/* SPDX-License-Identifier: MIT */
/* What an ask means: the same whether it came through the socket or from this process. */
#include "node/door.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

enum { PAGE_KEYS = 1000 };

static void fail(struct rusm__door_answer *answer, int code, const char *text) {
    answer->code = code;
    answer->found = false;
    rusm__buf_clear(&answer->body);
    rusm__buf_add_str(&answer->body, *text ? text : rusm_error_text(code));
}

/* ---- writes ---- */

/* A write on its way. Two hold it: who waits and the commit thread, which may come late. */
struct pending {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    unsigned holders; /* guarded by lock, as is what follows */
    bool is_answered;
    int code;
    bool existed;
    struct rusm__kv_error error;
};

static struct pending *pending_new(void) {
    struct pending *pending = rusm__mem_try_zalloc(sizeof *pending);
    if (!pending)
        return NULL;
    pthread_mutex_init(&pending->lock, NULL);
    rusm__cond_init_monotonic(&pending->answered);
    pending->holders = 2;
    return pending;
}

/* Let go of it, with the lock held. */
static void pending_leave(struct pending *pending) {
    bool is_last = --pending->holders == 0;
    pthread_mutex_unlock(&pending->lock);
    if (!is_last)
        return;
    pthread_cond_destroy(&pending->answered);
    pthread_mutex_destroy(&pending->lock);
    rusm__mem_free(pending);
}

/* On the commit thread. */
static void written(void *arg, const struct rusm__kv_result *result) {
    struct pending *pending = arg;
    pthread_mutex_lock(&pending->lock);
    pending->is_answered = true;
    pending->code = result->code;
    pending->existed = result->existed;
    snprintf(pending->error.text, sizeof pending->error.text, "%s", result->text);
    pthread_cond_signal(&pending->answered);
    pending_leave(pending);
}

static void await(struct pending *pending, struct rusm__door_answer *answer) {
    uint64_t end_ns = rusm__deadline_ms(rusm__clock_ns(), RUSM__DOOR_CALL_MS);
    pthread_mutex_lock(&pending->lock);
    while (!pending->is_answered &&
           rusm__cond_wait_until(&pending->answered, &pending->lock, end_ns)) {
    }
    if (!pending->is_answered)
        fail(answer, RUSM_ETIMEDOUT,
             "the disk has not answered for 30 s; the write may be made later, or not");
    else if (pending->code < 0)
        fail(answer, pending->code, pending->error.text);
    else
        answer->found = pending->existed;
    pending_leave(pending);
}

static void change(struct rusm__kv *kv, const struct rusm__door_ask *ask,
                   struct rusm__door_answer *answer) {
    const struct rusm__kv_change one = {.bucket = ask->bucket,
                                        .key = ask->key,
                                        .value = ask->value,
                                        .is_delete = ask->op == RUSM__DOOR_DELETE};
    struct rusm__kv_error error = {{0}};
    struct pending *pending = pending_new();
    int code = pending ? rusm__kv_batch(kv, &one, 1, written, pending, &error) : RUSM_ENOMEM;
    if (code == RUSM_OK) {
        await(pending, answer);
        return;
    }
    fail(answer, code, error.text);
    if (pending) {
        pthread_mutex_lock(&pending->lock);
        pending->holders = 1; /* nobody will call */
        pending_leave(pending);
    }
}

/* ---- reads ---- */

static void get(struct rusm__kv_reader *reader, const struct rusm__door_ask *ask,
                struct rusm__door_answer *answer) {
    struct rusm__kv_value value;
    struct rusm__kv_error error = {{0}};
    int code = rusm__kv_get(reader, ask->bucket, ask->key, &value, &error);
    if (code == RUSM_ENOTFOUND)
        return;
    if (code < 0) {
        fail(answer, code, error.text);
        return;
    }
    answer->found = true;
    rusm__buf_add(&answer->body, value.data, value.len);
    rusm__mem_free(value.data);
}

static void add_key(struct rusm__buf *body, struct rusm__kv_bytes key) {
    rusm__buf_add_char(body, (char)(unsigned char)key.len);
    rusm__buf_add_char(body, (char)(unsigned char)(key.len >> 8));
    rusm__buf_add(body, key.ptr, key.len);
}

static void keys(struct rusm__kv_reader *reader, const struct rusm__door_ask *ask,
                 struct rusm__door_answer *answer) {
    const struct rusm__kv_range range = {
        .bucket = ask->bucket, .after = ask->has_after ? &ask->key : NULL, .limit = PAGE_KEYS};
    struct rusm__kv_keys page;
    struct rusm__kv_error error = {{0}};
    int code = rusm__kv_page(reader, &range, &page, &answer->found, &error);
    if (code < 0) {
        fail(answer, code, error.text);
        return;
    }
    for (size_t i = 0; i < page.count + answer->found; i++)
        add_key(&answer->body, page.keys[i]);
    rusm__mem_free(page.keys);
}

void rusm__door_perform(struct rusm__kv *kv, struct rusm__kv_reader *reader,
                        const struct rusm__door_ask *ask, struct rusm__door_answer *answer) {
    answer->code = RUSM_OK;
    answer->found = false;
    rusm__buf_clear(&answer->body);
    switch (ask->op) {
    case RUSM__DOOR_GET:
        get(reader, ask, answer);
        break;
    case RUSM__DOOR_KEYS:
        keys(reader, ask, answer);
        break;
    case RUSM__DOOR_SET:
    case RUSM__DOOR_DELETE:
        change(kv, ask, answer);
        break;
    }
    if (answer->body.failed) {
        rusm__buf_fini(&answer->body);
        rusm__buf_init(&answer->body);
        fail(answer, RUSM_ENOMEM, "");
    }
}
