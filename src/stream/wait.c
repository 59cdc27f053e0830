/* SPDX-License-Identifier: MIT */
/* The calls of fibers: try, and wait until trying again makes sense. Every one of them gives the
 * turn up now and then even if it never has to wait, so that a fast pair does not keep others out.
 */
#include "rusm/error.h"
#include "rusm/fiber.h"
#include "rusm/stream.h"

#include "proc/proc.h"
#include "stream/ends.h"

/* After a wait that ended with another result than a wake. */
static void stop_waiting(rusm_proc *self, rusm_stream handle) {
    struct rusm__end *end = rusm__ends_find(self, handle);
    if (end && end->is_writer) {
        rusm__pipe_unpark_writer(end->pipe);
    } else if (end) {
        rusm__pipe_unpark_reader(end->pipe);
    }
}

/* `status` is what trying said. True: try again, for *status is RUSM_OK then. */
static bool wait_at(rusm_proc *self, rusm_stream handle, uint64_t deadline_ns, int *status) {
    if (*status != RUSM_EAGAIN) {
        rusm__fiber_wait_done(self);
        return false;
    }
    *status = rusm__fiber_wait(self, deadline_ns);
    if (*status) {
        stop_waiting(self, handle);
    }
    return *status == RUSM_OK;
}

int rusm_stream_accept(rusm_proc *self, uint64_t deadline_ns, rusm_stream *out_reader,
                       rusm_pid *out_from) {
    *out_reader = 0;
    int status = rusm_yield(self);
    if (status) {
        return status;
    }
    do {
        status = rusm_stream_try_accept(self, out_reader, out_from);
    } while (wait_at(self, 0, deadline_ns, &status));
    return status;
}

int rusm_stream_write(rusm_proc *self, rusm_stream writer, rusm_chunk *chunk,
                      uint64_t deadline_ns) {
    int status = rusm_yield(self);
    if (status) {
        return status;
    }
    do {
        status = rusm_stream_try_write(self, writer, chunk);
    } while (wait_at(self, writer, deadline_ns, &status));
    return status;
}

int rusm_stream_write_bytes(rusm_proc *self, rusm_stream writer, const void *data, size_t len,
                            uint64_t deadline_ns) {
    int status = rusm_yield(self);
    if (status) {
        return status;
    }
    do {
        status = rusm_stream_try_write_bytes(self, writer, data, len);
    } while (wait_at(self, writer, deadline_ns, &status));
    return status;
}

int rusm_stream_read(rusm_proc *self, rusm_stream reader, uint64_t deadline_ns,
                     rusm_chunk **out_chunk) {
    *out_chunk = NULL;
    int status = rusm_yield(self);
    if (status) {
        return status;
    }
    do {
        status = rusm_stream_try_read(self, reader, out_chunk);
    } while (wait_at(self, reader, deadline_ns, &status));
    return status;
}

int rusm_stream_read_bytes(rusm_proc *self, rusm_stream reader, void *buffer, size_t cap,
                           uint64_t deadline_ns, size_t *out_len) {
    *out_len = 0;
    int status = rusm_yield(self);
    if (status) {
        return status;
    }
    do {
        status = rusm_stream_try_read_bytes(self, reader, buffer, cap, out_len);
    } while (wait_at(self, reader, deadline_ns, &status));
    return status;
}
