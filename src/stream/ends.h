/* SPDX-License-Identifier: MIT */
/* The ends of streams that a process has: from handle to pipe, kept with the process until it ends.
 *
 *     handle   63 ─ 32 generation │ 31 ─ 0 place + 1
 *
 * A place that is free has no pipe; each use of one has a generation of its own, so a handle that
 * was closed, or that another process made, is not mistaken for a live one. Owner only. */
#ifndef RUSM__STREAM_ENDS_H
#define RUSM__STREAM_ENDS_H

#include <stdbool.h>
#include <stdint.h>

#include "rusm/stream.h"

#include "proc/proc.h"
#include "stream/pipe.h"

struct rusm__end {
    struct rusm__pipe *pipe; /* NULL: free */
    uint32_t generation;
    uint32_t next; /* free: the next free place, by number + 1; 0 = none */
    bool is_writer;
};

struct rusm__ends {
    struct rusm__holding holding; /* first */
    struct rusm__end *places;
    uint32_t place_count;
    uint32_t free; /* a place by number + 1; 0 = none */
    uint32_t count;
    uint32_t limit;
    uint32_t generation; /* of the end that was added last */
};

/* NULL: it never had any. */
struct rusm__ends *rusm__ends_of(const rusm_proc *self);
/* Makes it. NULL: no memory. */
struct rusm__ends *rusm__ends_make(rusm_proc *self);
/* The next add will do. RUSM_ELIMIT, RUSM_ENOMEM. */
int rusm__ends_reserve(struct rusm__ends *ends);
rusm_stream rusm__ends_add(struct rusm__ends *ends, struct rusm__pipe *pipe, bool is_writer);
/* NULL: not an end of this process. */
struct rusm__end *rusm__ends_find(const rusm_proc *self, rusm_stream handle);
/* The pipe of an end of this kind, or NULL. */
struct rusm__pipe *rusm__ends_pipe(const rusm_proc *self, rusm_stream handle, bool is_writer);
/* Close the end and free its place. */
void rusm__ends_remove(struct rusm__ends *ends, struct rusm__end *end, enum rusm__pipe_state how);

#endif
