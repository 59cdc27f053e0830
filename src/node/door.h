/* SPDX-License-Identifier: MIT */
/* The door to a running node's store: a socket beside the store's file, for `rusm kv`.
 *
 *   rusm kv                         rusm-door (a thread of the node)
 *   rusm__door_connect  ---->       accept; one caller at a time
 *   rusm__door_call     ---->       rusm__door_perform on the node's store
 *                       <----       answer
 *
 * The socket is <store>-sock with mode 0600, so who may read the file may ask. Whoever holds the
 * store's lock owns the name: what a killed node has left there is removed by the next one.
 *
 * Wire: all numbers little endian, both ends are on one machine and of one release; the first word
 * tells another one.
 *   ask      "RKV1"  op:1  has_after:1  bucket:2  key:2  0:2  value:4   then bucket, key, value
 *   answer   "RKV1"  code:4 (signed)  found:1  0:3  body:4              then the body
 * The body is the value of a get, the keys of a page (each with its length in 2 bytes in front; the
 * last one leads on when `found`), or the text of an error. */
#ifndef RUSM__NODE_DOOR_H
#define RUSM__NODE_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "rusm/export.h"

#include "base/buf.h"
#include "kv/kv.h"

#define RUSM__DOOR_CALL_MS   30000u      /* one call of a client, from end to end */
#define RUSM__DOOR_MAX_VALUE (16u << 20) /* the limit of the node's store */

enum rusm__door_op {
    RUSM__DOOR_GET = 1,
    RUSM__DOOR_SET = 2,
    RUSM__DOOR_DELETE = 3,
    RUSM__DOOR_KEYS = 4, /* a page of the bucket's keys, after `key` if has_after */
};

struct rusm__door_ask {
    enum rusm__door_op op;
    bool has_after;
    struct rusm__kv_bytes bucket, key, value;
};

struct rusm__door_answer {
    int code;
    bool found; /* GET, DELETE: it was there; KEYS: there are more */
    struct rusm__buf body;
};

/* ---- door_ops.c: what an ask means ---- */

/* Waits for the disk, at most RUSM__DOOR_CALL_MS. The body was initialised by the caller. */
void rusm__door_perform(struct rusm__kv *kv, struct rusm__kv_reader *reader,
                        const struct rusm__door_ask *ask, struct rusm__door_answer *answer);

/* ---- door_wire.c: both ends of the socket ---- */

struct rusm__door_io {
    int fd;
    int stop_fd; /* readable: give up with RUSM_ECLOSED. -1: none */
    uint64_t deadline_ns;
};

/* All of them: RUSM_ETIMEDOUT, RUSM_ECLOSED, RUSM_EIO (also for what is no such message),
 * RUSM_ENOMEM; and RUSM_ETOOBIG from recv_ask for a value over the limit. The ask points into
 * *room. */
RUSM_MUST_USE int rusm__door_recv_ask(const struct rusm__door_io *io, struct rusm__buf *room,
                                      struct rusm__door_ask *out_ask);
RUSM_MUST_USE int rusm__door_send_answer(const struct rusm__door_io *io,
                                         const struct rusm__door_answer *answer);
/* Ask, and wait for the answer. */
RUSM_MUST_USE int rusm__door_call(int fd, const struct rusm__door_ask *ask,
                                  struct rusm__door_answer *answer);

/* The socket's address, which may be longer than the system takes: *out_folder_fd must stay open
 * while `out` is used. */
struct sockaddr_un;
RUSM_MUST_USE int rusm__door_address(const char *store_path, int *out_folder_fd,
                                     struct sockaddr_un *out);
/* *out_fd. RUSM_ENOTFOUND: nobody listens; RUSM_ETIMEDOUT: too many wait before us. */
RUSM_MUST_USE int rusm__door_connect(const char *store_path, int *out_fd);

/* ---- door.c: the node's side ---- */

struct rusm__door;

/* The caller holds the store, and keeps it until the door is closed. Errors leave a text. */
RUSM_MUST_USE int rusm__door_open(const char *store_path, struct rusm__kv *kv,
                                  struct rusm__door **out_door, struct rusm__kv_error *out_error);
void rusm__door_close(struct rusm__door *door); /* NULL is allowed; waits for the call at hand */

#endif
