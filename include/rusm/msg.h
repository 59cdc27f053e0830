/* SPDX-License-Identifier: MIT */
/* A message: one allocation that holds a header and its bytes, handed over by pointer.
 *
 * Ownership: who holds a rusm_msg frees it or sends it. A send takes it on success and leaves it
 * with the caller on failure. Only one thread may touch a message at a time. */
#ifndef RUSM_MSG_H
#define RUSM_MSG_H

#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rusm_msg rusm_msg;

/* What an item of the mailbox is. Items of one kind are never lost by waiting for another. */
typedef enum rusm_msg_kind {
    RUSM_MSG_DATA = 0,   /* bytes that somebody sent */
    RUSM_MSG_DOWN = 1,   /* a monitored process ended: from, ref, exit kind and text */
    RUSM_MSG_EXIT = 2,   /* an exit signal that a trapping process turned into mail */
    RUSM_MSG_STREAM = 3, /* a byte stream that another process opened: see rusm/stream.h */
} rusm_msg_kind;

/* Largest message in bytes (1 GiB less one page of header room). */
#define RUSM_MSG_MAX_BYTES ((size_t)(1u << 30) - 4096u)

/* Make a message of len bytes, contents undefined. Returns owned. RUSM_ENOMEM; RUSM_ETOOBIG over
 * RUSM_MSG_MAX_BYTES. Any thread, never waits. */
RUSM_API RUSM_MUST_USE int rusm_msg_new(size_t len, rusm_msg **out_msg);

/* As rusm_msg_new, with a copy of data. RUSM_EINVAL: data is NULL and len is not 0. */
RUSM_API RUSM_MUST_USE int rusm_msg_copy(const void *data, size_t len, rusm_msg **out_msg);

/* Free a message that was not sent, or that was received. NULL is allowed. A RUSM_MSG_STREAM that
 * is freed is a stream that is refused: its writer learns that nobody reads. */
RUSM_API void rusm_msg_free(rusm_msg *msg);

/* The bytes of a RUSM_MSG_DATA message; for DOWN and EXIT the reason's text; nothing for STREAM.
 * Borrowed. */
RUSM_API unsigned char *rusm_msg_data(rusm_msg *msg);
RUSM_API size_t rusm_msg_len(const rusm_msg *msg); /* how many bytes those are */

RUSM_API rusm_msg_kind rusm_msg_get_kind(const rusm_msg *msg);

/* Who sent it: the process that ran when it was sent, 0 when a plain thread sent it. For DOWN and
 * EXIT: the process that ended; for STREAM: the writer. Set by the library, so it can be trusted.
 */
RUSM_API rusm_pid rusm_msg_from(const rusm_msg *msg);

/* The monitor's reference of a DOWN; 0 otherwise. */
RUSM_API uint64_t rusm_msg_ref(const rusm_msg *msg);

/* How the process of a DOWN or EXIT ended. */
RUSM_API rusm_exit_kind rusm_msg_exit_kind(const rusm_msg *msg);

/* ---- what a host carries beside a message ---- */

/* Bytes that ride beside messages, such as who a request was made for: shared by reference, never
 * changed, not part of the data. A message keeps its context through timers, stash and waiting for
 * room; nothing else carries one, so a host that works for the context of its last message keeps
 * that across a DOWN or EXIT. A message without one pays nothing. */
typedef struct rusm_context rusm_context;

#define RUSM_CONTEXT_MAX_BYTES ((size_t)65536)

/* With a copy of data. Returns owned: one reference. RUSM_ENOMEM; RUSM_EINVAL: data is NULL and len
 * is not 0; RUSM_ETOOBIG over RUSM_CONTEXT_MAX_BYTES. All these from any thread. */
RUSM_API RUSM_MUST_USE int rusm_context_new(const void *data, size_t len,
                                            rusm_context **out_context);
RUSM_API rusm_context *rusm_context_ref(rusm_context *context); /* returns it; NULL is allowed */
RUSM_API void rusm_context_unref(rusm_context *context);        /* NULL is allowed */
/* Its bytes. Borrowed: there as long as a reference is. */
RUSM_API const unsigned char *rusm_context_data(const rusm_context *context);
RUSM_API size_t rusm_context_len(const rusm_context *context);

/* Give *msg a context, of which it takes a reference of its own, in place of an earlier one; NULL:
 * none. May move the message: *msg is where it is then, and earlier pointers to its data are no
 * longer valid. Does not count against a mailbox's bound. RUSM_ENOMEM: *msg stays as it is.
 * RUSM_EINVAL: not a RUSM_MSG_DATA. */
RUSM_API RUSM_MUST_USE int rusm_msg_set_context(rusm_msg **msg, rusm_context *context);

/* Borrowed from the message; NULL if it has none. */
RUSM_API rusm_context *rusm_msg_context(const rusm_msg *msg);

/* Queue msg for pid. Takes msg on success; on error the caller keeps it. Any thread; never waits.
 * Messages of one sender to one receiver arrive in the order they were sent.
 * RUSM_ENOPROC: pid has ended or never was. RUSM_EFULL: its mailbox is at its limit, or others wait
 * for room in it. RUSM_ETOOBIG: it is larger than that mailbox may ever hold. RUSM_EINVAL: NULL, or
 * a DOWN, EXIT or STREAM, which only the library sends. */
RUSM_API RUSM_MUST_USE int rusm_msg_send(rusm_runtime *rt, rusm_pid to, rusm_msg *msg);

/* As rusm_msg_send, to whoever holds the name now. RUSM_ENOPROC: nobody does. RUSM_EINVAL: also a
 * name that is empty or longer than 255 bytes. */
RUSM_API RUSM_MUST_USE int rusm_name_send(rusm_runtime *rt, const char *name, size_t len,
                                          rusm_msg *msg);

#ifdef __cplusplus
}
#endif
#endif
