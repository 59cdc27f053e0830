/* SPDX-License-Identifier: MIT */
/* The calls that do not wait: open, accept, write, read, close. The ring and its wakes are in
 * pipe.c, handles in ends.c; the calls that wait are these, tried again, in wait.c. */
#include "rusm/stream.h"

#include <string.h>

#include "rusm/error.h"

#include "proc/proc.h"
#include "stream/ends.h"

/* ---- opening ---- */

static bool is_valid(const rusm_stream_options *opts) {
    return opts->size == sizeof(*opts) && opts->max_chunks <= RUSM_STREAM_MAX_CHUNKS &&
           opts->max_bytes <= RUSM_STREAM_MAX_BYTES;
}

/* An offer that nobody takes. */
static void refuse(void *pipe) {
    rusm__pipe_close_reader(pipe, RUSM__PIPE_CLOSED);
}

/* Until it is sent the caller has both ends. */
static void discard(struct rusm__pipe *pipe) {
    rusm__pipe_close_writer(pipe, RUSM__PIPE_CLOSED);
    rusm__pipe_close_reader(pipe, RUSM__PIPE_CLOSED);
}

static int offer(rusm_proc *self, struct rusm__pipe *pipe) {
    rusm_msg *msg = rusm__offer_new((uint32_t)pipe->max_bytes, pipe, refuse);
    if (!msg) {
        return RUSM_ENOMEM;
    }
    int status = rusm__offer_send(self, pipe->reader, msg);
    if (status) {
        rusm__offer_done(msg);
    }
    return status;
}

int rusm_stream_open(rusm_proc *self, rusm_pid to, const rusm_stream_options *opts,
                     rusm_stream *out_writer) {
    static const rusm_stream_options defaults = {.size = sizeof(defaults)};
    opts = opts ? opts : &defaults;
    *out_writer = 0;
    if (!is_valid(opts)) {
        return RUSM_EINVAL;
    }
    struct rusm__ends *ends = rusm__ends_make(self);
    int status = ends ? rusm__ends_reserve(ends) : RUSM_ENOMEM;
    if (status) {
        return status;
    }
    struct rusm__pipe *pipe =
        rusm__pipe_new(rusm_proc_runtime(self), rusm_proc_pid(self), to,
                       opts->max_chunks ? opts->max_chunks : RUSM_STREAM_CHUNKS,
                       opts->max_bytes ? opts->max_bytes : RUSM_STREAM_BYTES);
    if (!pipe) {
        return RUSM_ENOMEM;
    }
    pipe->large_alone = opts->large_alone;
    status = offer(self, pipe);
    if (status) {
        discard(pipe);
        return status;
    }
    *out_writer = rusm__ends_add(ends, pipe, true);
    return RUSM_OK;
}

/* ---- accepting ---- */

int rusm_stream_take(rusm_proc *self, rusm_msg *msg, rusm_stream *out_reader) {
    *out_reader = 0;
    struct rusm__pipe *pipe = rusm__offer_what(msg);
    if (!pipe || pipe->reader != rusm_proc_pid(self)) {
        return RUSM_EINVAL;
    }
    struct rusm__ends *ends = rusm__ends_make(self);
    int status = ends ? rusm__ends_reserve(ends) : RUSM_ENOMEM;
    if (status) {
        return status;
    }
    rusm__offer_done(msg);
    *out_reader = rusm__ends_add(ends, pipe, false);
    return RUSM_OK;
}

/* The place comes first, so that an offer which was taken out of the mailbox is never in the way.
 */
int rusm_stream_try_accept(rusm_proc *self, rusm_stream *out_reader, rusm_pid *out_from) {
    *out_reader = 0;
    if (out_from) {
        *out_from = 0;
    }
    struct rusm__ends *ends = rusm__ends_make(self);
    int status = ends ? rusm__ends_reserve(ends) : RUSM_ENOMEM;
    if (status) {
        return status;
    }
    rusm_msg *msg = rusm__proc_receive_kinds(self, RUSM__KIND(RUSM_MSG_STREAM));
    if (!msg) {
        return RUSM_EAGAIN;
    }
    if (out_from) {
        *out_from = rusm_msg_from(msg);
    }
    *out_reader = rusm__ends_add(ends, rusm__offer_what(msg), false);
    rusm__offer_done(msg);
    return RUSM_OK;
}

int rusm_stream_set_limit(rusm_proc *self, uint32_t max_ends) {
    if (max_ends < 1 || max_ends > RUSM_STREAM_MAX_ENDS) {
        return RUSM_EINVAL;
    }
    struct rusm__ends *ends = rusm__ends_make(self);
    if (!ends) {
        return RUSM_ENOMEM;
    }
    ends->limit = max_ends;
    return RUSM_OK;
}

/* ---- writing ---- */

int rusm_stream_try_write(rusm_proc *self, rusm_stream writer, rusm_chunk *chunk) {
    struct rusm__pipe *pipe = rusm__ends_pipe(self, writer, true);
    int status = pipe ? rusm__pipe_reserve(pipe, chunk->len) : RUSM_EINVAL;
    if (status == RUSM_OK) {
        rusm__pipe_put(pipe, chunk);
    }
    return status;
}

static int new_chunk(struct rusm__pipe *pipe, size_t len, rusm_chunk **out_chunk) {
    *out_chunk = rusm__pipe_used_chunk(pipe, len);
    return *out_chunk ? RUSM_OK : rusm_chunk_new(len, out_chunk);
}

int rusm_stream_chunk(rusm_proc *self, rusm_stream writer, size_t len, rusm_chunk **out_chunk) {
    *out_chunk = NULL;
    struct rusm__pipe *pipe = rusm__ends_pipe(self, writer, true);
    return pipe ? new_chunk(pipe, len, out_chunk) : RUSM_EINVAL;
}

/* Room first: a writer that has to wait copies nothing. */
int rusm_stream_try_write_bytes(rusm_proc *self, rusm_stream writer, const void *data, size_t len) {
    struct rusm__pipe *pipe = rusm__ends_pipe(self, writer, true);
    int status = pipe ? rusm__pipe_reserve(pipe, len) : RUSM_EINVAL;
    rusm_chunk *chunk;
    if (status == RUSM_OK) {
        status = new_chunk(pipe, len, &chunk);
    }
    if (status) {
        return status;
    }
    if (len) {
        memcpy(rusm_chunk_data(chunk), data, len);
    }
    rusm__pipe_put(pipe, chunk);
    return RUSM_OK;
}

/* ---- reading ---- */

int rusm_stream_try_read(rusm_proc *self, rusm_stream reader, rusm_chunk **out_chunk) {
    *out_chunk = NULL;
    struct rusm__pipe *pipe = rusm__ends_pipe(self, reader, false);
    int status = pipe ? rusm__pipe_peek(pipe, out_chunk) : RUSM_EINVAL;
    if (status == RUSM_OK) {
        rusm__pipe_pop(pipe);
    }
    return status;
}

void rusm_stream_recycle(rusm_proc *self, rusm_stream reader, rusm_chunk *chunk) {
    struct rusm__pipe *pipe = rusm__ends_pipe(self, reader, false);
    if (pipe && chunk) {
        rusm__pipe_give(pipe, chunk);
    } else {
        rusm_chunk_free(chunk);
    }
}

int rusm_stream_try_read_bytes(rusm_proc *self, rusm_stream reader, void *buffer, size_t cap,
                               size_t *out_len) {
    *out_len = 0;
    struct rusm__pipe *pipe = rusm__ends_pipe(self, reader, false);
    rusm_chunk *chunk;
    int status = pipe ? rusm__pipe_peek(pipe, &chunk) : RUSM_EINVAL;
    if (status) {
        return status;
    }
    *out_len = chunk->len;
    if (chunk->len > cap) {
        return RUSM_ETOOBIG;
    }
    if (chunk->len) {
        memcpy(buffer, rusm_chunk_data(chunk), chunk->len);
    }
    rusm__pipe_pop(pipe);
    rusm__pipe_give(pipe, chunk);
    return RUSM_OK;
}

/* ---- closing ---- */

static int close_as(rusm_proc *self, rusm_stream handle, enum rusm__pipe_state how) {
    struct rusm__end *end = rusm__ends_find(self, handle);
    if (!end) {
        return RUSM_EINVAL;
    }
    rusm__ends_remove(rusm__ends_of(self), end, how);
    return RUSM_OK;
}

/* A body that winds down closes what it holds, wherever it stood. The other side must not take that
 * for the end of what was to be sent. */
int rusm_stream_close(rusm_proc *self, rusm_stream end) {
    return close_as(self, end, rusm__proc_is_doomed(self) ? RUSM__PIPE_CRASHED : RUSM__PIPE_CLOSED);
}

int rusm_stream_abort(rusm_proc *self, rusm_stream end) {
    return close_as(self, end, RUSM__PIPE_CRASHED);
}

/* ---- looking ---- */

int rusm_stream_get_info(rusm_proc *self, rusm_stream handle, rusm_stream_info *info) {
    const struct rusm__end *end = rusm__ends_find(self, handle);
    if (!end || !info || info->size != sizeof(*info)) {
        return RUSM_EINVAL;
    }
    const struct rusm__pipe *pipe = end->pipe;
    *info = (rusm_stream_info){.size = sizeof(*info),
                               .peer = end->is_writer ? pipe->reader : pipe->writer,
                               .is_writer = end->is_writer,
                               .chunks = rusm__pipe_chunks(pipe),
                               .bytes = rusm__pipe_bytes(pipe),
                               .max_chunks = pipe->max_chunks,
                               .max_bytes = (uint32_t)pipe->max_bytes};
    return RUSM_OK;
}

int rusm_stream_get_usage(rusm_proc *self, rusm_stream_usage *usage) {
    if (!usage || usage->size != sizeof(*usage)) {
        return RUSM_EINVAL;
    }
    *usage = (rusm_stream_usage){.size = sizeof(*usage)};
    const struct rusm__ends *ends = rusm__ends_of(self);
    for (uint32_t i = 0; ends && i < ends->place_count; i++) {
        const struct rusm__end *end = &ends->places[i];
        if (end->pipe) {
            usage->ends++;
            *(end->is_writer ? &usage->written_bytes : &usage->unread_bytes) +=
                rusm__pipe_bytes(end->pipe);
        }
    }
    return RUSM_OK;
}
