/* SPDX-License-Identifier: MIT */
/* The store of an app from outside: read and change keys whether its node runs or not. While one
 * does, each call goes through the socket that it keeps beside the store, on a connection of its
 * own: such a store may stay open for long, also while the node is started anew. Otherwise the
 * store is opened here, and a node that is started meanwhile finds it in use.
 *
 * Texts are UTF-8, since guests see keys as text. Values are any bytes.
 * Threads: the functions of one store are called from one thread that is not a scheduler. */
#ifndef RUSM_STORE_H
#define RUSM_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "rusm/export.h"
#include "rusm/node.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rusm_store rusm_store;

/* Set size to sizeof(rusm_store_options). */
typedef struct rusm_store_options {
    size_t size;
    const char *root;        /* as rusm_node_options */
    const char *config_path; /* as rusm_node_options */
} rusm_store_options;

/* Read the manifest and reach the store that it names; one that is missing is made. Waits, for a
 * node that is just starting or stopping at most three seconds. *problem is written in any case and
 * is to be cleared, here and below.
 * RUSM_ECONFIG: the manifest; RUSM_ENOTFOUND: it names no store; RUSM_EBUSY: somebody holds the
 * store and does not answer; RUSM_EIO; RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_store_open(const rusm_store_options *options,
                                           rusm_store **out_store, rusm_problem *problem);
/* What was written stays. NULL is allowed. */
RUSM_API void rusm_store_close(rusm_store *store);

typedef struct rusm_store_value {
    void *data; /* owned; rusm_store_value_clear */
    size_t len;
} rusm_store_value;
/* Free the data and set everything to 0. */
RUSM_API void rusm_store_value_clear(rusm_store_value *value);

/* Every call below waits at most a minute, a list so long for each page. RUSM_ETIMEDOUT,
 * RUSM_ECLOSED: the node has stopped or did not answer, a write may have been made or not.
 * RUSM_EINVAL: no UTF-8; RUSM_ETOOBIG: a limit, which the text names; RUSM_EIO; RUSM_ELIMIT;
 * RUSM_ENOMEM. */

/* *out_value is written in any case and is to be cleared. RUSM_ENOTFOUND: no such key. */
RUSM_API RUSM_MUST_USE int rusm_store_get(rusm_store *store, const char *bucket, const char *key,
                                          rusm_store_value *out_value, rusm_problem *problem);
/* Durable when it returns. Bucket and key have 509 bytes together at most, the value 16 MiB; all
 * are copied. */
RUSM_API RUSM_MUST_USE int rusm_store_set(rusm_store *store, const char *bucket, const char *key,
                                          const void *value, size_t len, rusm_problem *problem);
/* Durable likewise. A key that is not there is no error: *out_existed says whether it was, and is
 * false after an error. */
RUSM_API RUSM_MUST_USE int rusm_store_remove(rusm_store *store, const char *bucket, const char *key,
                                             bool *out_existed, rusm_problem *problem);

/* The keys of a bucket, in the order of their bytes; not one moment's, but a page at a time. visit
 * answers false to end it, which is no error. Its key has len bytes, no zero byte behind them, and
 * is gone when it returns; it must not use the store. */
typedef bool (*rusm_store_visit)(void *arg, const char *key, size_t len);
RUSM_API RUSM_MUST_USE int rusm_store_list(rusm_store *store, const char *bucket,
                                           rusm_store_visit visit, void *arg,
                                           rusm_problem *problem);

#ifdef __cplusplus
}
#endif

#endif
