/* SPDX-License-Identifier: MIT */
/* The store of an app from outside (rusm/store.h): through the door of the node that holds it, or
 * opened here. Who tries to open it learns which of the two it is, so there is nothing to guess
 * from what a killed node has left behind.
 *
 * A call through the door has a connection of its own. The node answers one caller at a time and
 * drops who stalls, so nobody keeps a connection while it waits for something else: for a person,
 * for a slow reader of a list, for the next thing that a program wants. */
#include "rusm/store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "node/door.h"
#include "node/node_impl.h"

enum { PATIENCE_MS = 3000, PAUSE_MS = 20 };

struct rusm_store {
    char *path;
    struct rusm__kv *kv; /* NULL: a node holds the store */
    struct rusm__kv_reader *reader;
};

static int tell(rusm_problem *problem, int code, const char *text) {
    problem->code = code;
    problem->text = *text ? rusm__mem_try_strndup(text, strlen(text)) : NULL;
    return code;
}

/* ---- opening ---- */

static void close_own(rusm_store *store) {
    rusm__kv_reader_free(store->reader);
    rusm__kv_close(store->kv);
    store->reader = NULL;
    store->kv = NULL;
}

static int open_own(rusm_store *store, struct rusm__kv_error *error) {
    int code = rusm__kv_open(store->path, NULL, &store->kv, error);
    if (code == RUSM_OK)
        code = rusm__kv_reader_new(store->kv, &store->reader, error);
    if (code < 0)
        close_own(store);
    return code;
}

/* Somebody answers at the door. */
static bool is_answered(const char *path) {
    int fd;
    if (rusm__door_connect(path, &fd) < 0)
        return false;
    close(fd);
    return true;
}

/* A node that starts holds the store before it opens its door, and one that stops after it has
 * closed it. */
static int reach(rusm_store *store, struct rusm__kv_error *error) {
    uint64_t end_ns = rusm__deadline_ms(rusm__clock_ns(), PATIENCE_MS);
    const struct timespec pause = {.tv_nsec = PAUSE_MS * (long)RUSM__MS};
    int code;
    while ((code = open_own(store, error)) == RUSM_EBUSY) {
        if (is_answered(store->path))
            return RUSM_OK;
        if (rusm__clock_ns() >= end_ns)
            return code;
        nanosleep(&pause, NULL);
    }
    return code;
}

int rusm_store_open(const rusm_store_options *options, rusm_store **out_store,
                    rusm_problem *problem) {
    struct rusm__kv_error error = {{0}};
    char *path;
    *out_store = NULL;
    *problem = (rusm_problem){.code = RUSM_EINVAL};
    if (!options || options->size != sizeof *options)
        return RUSM_EINVAL;
    int code = rusm__node_find_store(options->root, options->config_path, &path, problem);
    if (code < 0)
        return code;
    rusm_store *store = rusm__mem_try_zalloc(sizeof *store);
    if (!store) {
        rusm__mem_free(path);
        return tell(problem, RUSM_ENOMEM, "");
    }
    store->path = path;
    code = reach(store, &error);
    if (code < 0) {
        rusm_store_close(store);
        rusm_problem_clear(problem);
        return tell(problem, code, error.text);
    }
    *out_store = store;
    return code;
}

void rusm_store_close(rusm_store *store) {
    if (!store)
        return;
    close_own(store);
    rusm__mem_free(store->path);
    rusm__mem_free(store);
}

/* ---- calls ---- */

static struct rusm__kv_bytes text(const char *text) {
    return (struct rusm__kv_bytes){.ptr = (const unsigned char *)text, .len = strlen(text)};
}

static int check_text(struct rusm__kv_bytes bytes, const char *what, rusm_problem *problem) {
    char line[64];
    if (rusm__utf8_is_valid(bytes.ptr, bytes.len))
        return RUSM_OK;
    snprintf(line, sizeof line, "the %s is not UTF-8", what);
    return tell(problem, RUSM_EINVAL, line);
}

static int check_ask(const struct rusm__door_ask *ask, rusm_problem *problem) {
    char line[160];
    size_t len = ask->bucket.len + ask->key.len;
    if (len > RUSM__KV_MAX_KEY_BYTES) {
        snprintf(line, sizeof line, "bucket and key have %zu bytes together, the limit is %u", len,
                 RUSM__KV_MAX_KEY_BYTES);
        return tell(problem, RUSM_ETOOBIG, line);
    }
    if (ask->value.len > RUSM__DOOR_MAX_VALUE) {
        snprintf(line, sizeof line, "kv value too large: %zu bytes, at most %u are allowed",
                 ask->value.len, RUSM__DOOR_MAX_VALUE);
        return tell(problem, RUSM_ETOOBIG, line);
    }
    int code = check_text(ask->bucket, "bucket", problem);
    return code < 0 ? code : check_text(ask->key, "key", problem);
}

static const char *door_text(int code) {
    switch (code) {
    case RUSM_ENOTFOUND:
        return "the node that held the store has stopped, or does not answer";
    case RUSM_ECLOSED:
        return "the node has closed the connection";
    case RUSM_ETIMEDOUT:
        return "the node does not answer";
    default:
        return "the node's answer cannot be read";
    }
}

/* On a connection of its own: see above. A node that was started anew is as good as the old one. */
static int call_node(rusm_store *store, const struct rusm__door_ask *ask,
                     struct rusm__door_answer *answer, rusm_problem *problem) {
    int fd;
    int code = rusm__door_connect(store->path, &fd);
    if (code == RUSM_OK) {
        code = rusm__door_call(fd, ask, answer);
        close(fd);
    }
    if (code == RUSM_OK)
        return RUSM_OK;
    const char *text = door_text(code);
    return tell(problem, code == RUSM_ENOTFOUND ? RUSM_ECLOSED : code, text);
}

/* The answer's body is for the caller to release, also after an error. */
static int call(rusm_store *store, const struct rusm__door_ask *ask,
                struct rusm__door_answer *answer, rusm_problem *problem) {
    *problem = (rusm_problem){0};
    *answer = (struct rusm__door_answer){0};
    rusm__buf_init(&answer->body);
    int code = check_ask(ask, problem);
    if (code < 0)
        return code;
    if (store->kv)
        rusm__door_perform(store->kv, store->reader, ask, answer);
    else if ((code = call_node(store, ask, answer, problem)) < 0)
        return code;
    return answer->code < 0 ? tell(problem, answer->code, rusm__buf_cstr(&answer->body)) : RUSM_OK;
}

void rusm_store_value_clear(rusm_store_value *value) {
    rusm__mem_free(value->data);
    *value = (rusm_store_value){0};
}

int rusm_store_get(rusm_store *store, const char *bucket, const char *key,
                   rusm_store_value *out_value, rusm_problem *problem) {
    const struct rusm__door_ask ask = {
        .op = RUSM__DOOR_GET, .bucket = text(bucket), .key = text(key)};
    struct rusm__door_answer answer;
    *out_value = (rusm_store_value){0};
    int code = call(store, &ask, &answer, problem);
    if (code == RUSM_OK && !answer.found)
        code = tell(problem, RUSM_ENOTFOUND, "there is no such key");
    if (code < 0) {
        rusm__buf_fini(&answer.body);
        return code;
    }
    *out_value = (rusm_store_value){.data = answer.body.data, .len = answer.body.len};
    return RUSM_OK;
}

int rusm_store_set(rusm_store *store, const char *bucket, const char *key, const void *value,
                   size_t len, rusm_problem *problem) {
    const struct rusm__door_ask ask = {.op = RUSM__DOOR_SET,
                                       .bucket = text(bucket),
                                       .key = text(key),
                                       .value = {.ptr = value, .len = len}};
    struct rusm__door_answer answer;
    int code = call(store, &ask, &answer, problem);
    rusm__buf_fini(&answer.body);
    return code;
}

int rusm_store_remove(rusm_store *store, const char *bucket, const char *key, bool *out_existed,
                      rusm_problem *problem) {
    const struct rusm__door_ask ask = {
        .op = RUSM__DOOR_DELETE, .bucket = text(bucket), .key = text(key)};
    struct rusm__door_answer answer;
    int code = call(store, &ask, &answer, problem);
    *out_existed = code == RUSM_OK && answer.found;
    rusm__buf_fini(&answer.body);
    return code;
}

/* ---- lists ---- */

/* The next key of a body; false at its end, or where it makes no sense. */
static bool next_key(const struct rusm__buf *body, size_t *at, struct rusm__kv_bytes *out_key) {
    if (body->len - *at < 2)
        return false;
    size_t len = body->data[*at] | (size_t)body->data[*at + 1] << 8;
    *at += 2;
    if (len > RUSM__KV_MAX_KEY_BYTES || len > body->len - *at)
        return false;
    *out_key = (struct rusm__kv_bytes){.ptr = body->data + *at, .len = len};
    *at += len;
    return true;
}

/* Where a list goes on. */
struct onward {
    bool is_set;
    size_t len;
    unsigned char key[RUSM__KV_MAX_KEY_BYTES];
};

/* Shows the keys of a page; the one that leads on is copied. False: the visitor has enough. */
static bool show_page(const struct rusm__door_answer *answer, rusm_store_visit visit, void *arg,
                      struct onward *onward) {
    struct rusm__kv_bytes key;
    size_t at = 0;
    onward->is_set = false;
    while (next_key(&answer->body, &at, &key)) {
        onward->is_set = answer->found && at == answer->body.len;
        if (onward->is_set) {
            memcpy(onward->key, key.ptr, key.len);
            onward->len = key.len;
        } else if (!visit(arg, (const char *)key.ptr, key.len)) {
            return false;
        }
    }
    return true;
}

int rusm_store_list(rusm_store *store, const char *bucket, rusm_store_visit visit, void *arg,
                    rusm_problem *problem) {
    struct onward onward;
    struct rusm__door_ask ask = {.op = RUSM__DOOR_KEYS, .bucket = text(bucket)};
    bool more = true;
    while (more) {
        struct rusm__door_answer answer;
        int code = call(store, &ask, &answer, problem);
        if (code == RUSM_OK)
            more = show_page(&answer, visit, arg, &onward) && answer.found;
        rusm__buf_fini(&answer.body);
        if (code == RUSM_OK && more && !onward.is_set) /* it would begin anew for ever */
            code = tell(problem, RUSM_EIO, "the node's answer cannot be read");
        if (code < 0)
            return code;
        ask.has_after = true;
        ask.key = (struct rusm__kv_bytes){.ptr = onward.key, .len = onward.len};
    }
    return RUSM_OK;
}
