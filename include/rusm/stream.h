/* SPDX-License-Identifier: MIT */
/* Byte streams: chunks of bytes from one process to one other, in order, bounded.
 *
 *     writer                                              reader
 *     rusm_stream_open(to) ──── RUSM_MSG_STREAM mail ───► rusm_stream_accept, rusm_stream_take
 *     rusm_stream_write    ════ chunks, bounded ════════► rusm_stream_read
 *
 * Each end is a handle that belongs to the process that opened or accepted it; only that process
 * may use it, and no handle of another process or of the past is mistaken for one. A writer may
 * begin before the stream is accepted. When a stream holds as much as it may, the writer has to
 * wait; when it holds nothing, the reader has to.
 *
 * How a stream ends is part of what it says. When the writer closes its end, or ends normally with
 * it open, the reader gets all chunks and then RUSM_ECLOSED. When the writer crashes, is killed,
 * or closes while it is already being killed, the reader gets what there is and then RUSM_ECRASHED:
 * the bytes may be half of something. The writer learns in the same way that nobody reads any more,
 * at its next write, also when it waits; what was not read is freed.
 *
 * Two styles, for one and the same end. A body with a step function calls the try_ functions: on
 * RUSM_EAGAIN it waits (RUSM_STEP_WAIT), and is woken exactly once, as soon as trying again makes
 * sense. It may wait at several ends, for mail and for a time all at once. A fiber calls the
 * functions that wait; its deadlines are absolute (rusm_now_ns clock), RUSM_FOREVER waits without
 * one, one in the past polls.
 *
 * All functions that take a rusm_proc are for the running process, inside its step or unwind. */
#ifndef RUSM_STREAM_H
#define RUSM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm/msg.h"
#include "rusm/process.h"
#include "rusm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- chunks: any thread, one at a time ---- */

/* A block of bytes that is handed over by pointer. Who holds it frees it or writes it. */
typedef struct rusm_chunk rusm_chunk;

/* A chunk of len bytes, contents undefined. Returns owned. RUSM_ENOMEM; RUSM_ETOOBIG over
 * RUSM_MSG_MAX_BYTES. Never waits. */
RUSM_API RUSM_MUST_USE int rusm_chunk_new(size_t len, rusm_chunk **out_chunk);
/* As rusm_chunk_new, with a copy of data. */
RUSM_API RUSM_MUST_USE int rusm_chunk_copy(const void *data, size_t len, rusm_chunk **out_chunk);
/* NULL is allowed. */
RUSM_API void rusm_chunk_free(rusm_chunk *chunk);

/* Its bytes. Borrowed. */
RUSM_API unsigned char *rusm_chunk_data(rusm_chunk *chunk);
RUSM_API size_t rusm_chunk_len(const rusm_chunk *chunk);
/* Make it shorter; a len that is not shorter does nothing. */
RUSM_API void rusm_chunk_truncate(rusm_chunk *chunk, size_t len);

/* ---- opening and accepting ---- */

typedef uint64_t rusm_stream; /* an end of a stream, in the process that it belongs to; never 0 */

enum {
    RUSM_STREAM_CHUNKS = 16,          /* default bound */
    RUSM_STREAM_BYTES = 256 * 1024,   /* default bound */
    RUSM_STREAM_MAX_CHUNKS = 1 << 16, /* largest bound that may be asked for */
    RUSM_STREAM_MAX_BYTES = 1 << 30,  /* likewise */
    RUSM_STREAM_ENDS = 1024,          /* default of rusm_stream_set_limit */
    RUSM_STREAM_MAX_ENDS = 1 << 20,
};

/* Set size to sizeof(rusm_stream_options). */
typedef struct rusm_stream_options {
    size_t size;
    uint32_t max_chunks; /* that wait to be read; 0 = RUSM_STREAM_CHUNKS */
    uint32_t max_bytes;  /* of the chunks that wait, together; 0 = RUSM_STREAM_BYTES */
    /* A chunk larger than max_bytes is not refused: it waits until nothing else does, and is then
     * the only one. For those who cannot cut what they are given to write. */
    bool large_alone;
} rusm_stream_options;

/* Open a stream towards a process, which may be the caller itself; opts may be NULL. The caller
 * gets the end to write to. Until the stream is accepted it counts as a message of max_bytes in the
 * target's mailbox, for so much may wait there; it never counts as anything else of the target's.
 * A target that frees the mail, or ends without having accepted, has refused the stream. Never
 * waits. RUSM_ENOPROC: no such process. RUSM_EFULL: its mailbox is at its limit. RUSM_ETOOBIG:
 * max_bytes is more than that mailbox may ever hold. RUSM_ELIMIT: the caller has as many ends as it
 * may. RUSM_ENOMEM, RUSM_EINVAL. */
RUSM_API RUSM_MUST_USE int rusm_stream_open(rusm_proc *self, rusm_pid to,
                                            const rusm_stream_options *opts,
                                            rusm_stream *out_writer);

/* Accept the stream that RUSM_MSG_STREAM mail offers. Takes msg on success, and leaves it with the
 * caller otherwise. RUSM_EINVAL: other mail, or mail of another process. RUSM_ELIMIT: the caller
 * has as many ends as it may. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_stream_take(rusm_proc *self, rusm_msg *msg,
                                            rusm_stream *out_reader);

/* Accept the oldest stream that is offered; all other mail stays as it is. out_from: the writer,
 * may be NULL. RUSM_EAGAIN: none is offered; one that is will wake the process, as mail does. On
 * RUSM_ELIMIT and RUSM_ENOMEM the offer stays. */
RUSM_API RUSM_MUST_USE int rusm_stream_try_accept(rusm_proc *self, rusm_stream *out_reader,
                                                  rusm_pid *out_from);

/* How many ends the process may have; beyond that it cannot open or accept. Those it has stay. 1 to
 * RUSM_STREAM_MAX_ENDS, else RUSM_EINVAL. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_stream_set_limit(rusm_proc *self, uint32_t max_ends);

/* ---- chunks through a stream ---- */

/* Write a chunk, whose boundaries the reader sees; one of no bytes is a chunk too. Takes chunk on
 * success; on error the caller keeps it. RUSM_EAGAIN: no room for it now. RUSM_ETOOBIG: larger than
 * the stream's max_bytes, so never (unless it was opened with large_alone). RUSM_ECLOSED: nobody
 * reads any more; RUSM_ECRASHED: because the reader crashed. RUSM_EINVAL: not an end that this
 * process writes to. */
RUSM_API RUSM_MUST_USE int rusm_stream_try_write(rusm_proc *self, rusm_stream writer,
                                                 rusm_chunk *chunk);

/* Read the next chunk. Returns owned. RUSM_EAGAIN: none yet. RUSM_ECLOSED: the end of the stream.
 * RUSM_ECRASHED: the writer crashed, what was to come is lost. Both stay so until the end is
 * closed. RUSM_EINVAL: not an end that this process reads from. */
RUSM_API RUSM_MUST_USE int rusm_stream_try_read(rusm_proc *self, rusm_stream reader,
                                                rusm_chunk **out_chunk);

/* A chunk to write to this stream: one that the reader has given back if it is large enough, else
 * a new one. Contents undefined. Errors as of rusm_chunk_new; RUSM_EINVAL. */
RUSM_API RUSM_MUST_USE int rusm_stream_chunk(rusm_proc *self, rusm_stream writer, size_t len,
                                             rusm_chunk **out_chunk);

/* Done with a chunk that was read: it goes back to the writer, or is freed. A stream whose chunks
 * come back takes no memory from the allocator. Takes chunk, whatever it is and whatever the handle
 * is. */
RUSM_API void rusm_stream_recycle(rusm_proc *self, rusm_stream reader, rusm_chunk *chunk);

/* The same with a copy on either side. Writing: data may be NULL with a len of 0; RUSM_ENOMEM.
 * Reading: one chunk into cap bytes at buffer; RUSM_ETOOBIG when it is longer: it stays the next
 * one, and *out_len is how long it is. */
RUSM_API RUSM_MUST_USE int rusm_stream_try_write_bytes(rusm_proc *self, rusm_stream writer,
                                                       const void *data, size_t len);
RUSM_API RUSM_MUST_USE int rusm_stream_try_read_bytes(rusm_proc *self, rusm_stream reader,
                                                      void *buffer, size_t cap, size_t *out_len);

/* Close an end, of either kind, at any time. To the other side it is an end in good order, unless
 * this process is already being told to end (kill, exit signal): then it is a crash. RUSM_EINVAL:
 * no such end, for example one that was closed before. */
RUSM_API int rusm_stream_close(rusm_proc *self, rusm_stream end);
/* Close an end so that the other side gets RUSM_ECRASHED: what was sent is not all. */
RUSM_API int rusm_stream_abort(rusm_proc *self, rusm_stream end);

/* ---- the same, waiting; for fibers ---- */

/* Errors as above instead of RUSM_EAGAIN, and RUSM_ETIMEDOUT, RUSM_EEXITING (the process is to
 * end), RUSM_ENOMEM (no timer for the deadline). */
RUSM_API RUSM_MUST_USE int rusm_stream_accept(rusm_proc *self, uint64_t deadline_ns,
                                              rusm_stream *out_reader, rusm_pid *out_from);
RUSM_API RUSM_MUST_USE int rusm_stream_write(rusm_proc *self, rusm_stream writer, rusm_chunk *chunk,
                                             uint64_t deadline_ns);
RUSM_API RUSM_MUST_USE int rusm_stream_read(rusm_proc *self, rusm_stream reader,
                                            uint64_t deadline_ns, rusm_chunk **out_chunk);
RUSM_API RUSM_MUST_USE int rusm_stream_write_bytes(rusm_proc *self, rusm_stream writer,
                                                   const void *data, size_t len,
                                                   uint64_t deadline_ns);
RUSM_API RUSM_MUST_USE int rusm_stream_read_bytes(rusm_proc *self, rusm_stream reader, void *buffer,
                                                  size_t cap, uint64_t deadline_ns,
                                                  size_t *out_len);

/* ---- looking ---- */

/* Set size to sizeof(rusm_stream_info). A moment's picture: the other side goes on meanwhile. */
typedef struct rusm_stream_info {
    size_t size;
    rusm_pid peer;   /* the process at the other end, which may have ended */
    bool is_writer;  /* this is the end to write to */
    uint32_t chunks; /* written and not read */
    uint64_t bytes;  /* in those chunks */
    uint32_t max_chunks;
    uint32_t max_bytes;
} rusm_stream_info;

/* RUSM_EINVAL: no such end. */
RUSM_API RUSM_MUST_USE int rusm_stream_get_info(rusm_proc *self, rusm_stream end,
                                                rusm_stream_info *info);

/* Set size to sizeof(rusm_stream_usage). What all streams of the process hold together. */
typedef struct rusm_stream_usage {
    size_t size;
    uint32_t ends;
    uint64_t written_bytes; /* that this process wrote and nobody has read yet */
    uint64_t unread_bytes;  /* that wait for this process to be read */
} rusm_stream_usage;

/* Walks the ends. RUSM_EINVAL: the size is wrong. */
RUSM_API int rusm_stream_get_usage(rusm_proc *self, rusm_stream_usage *usage);

#ifdef __cplusplus
}
#endif
#endif
