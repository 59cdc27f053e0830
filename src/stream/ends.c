/* SPDX-License-Identifier: MIT */
#include "stream/ends.h"

#include <stddef.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/mem.h"

enum { FIRST_PLACES = 4 };

_Static_assert(offsetof(struct rusm__ends, holding) == 0, "a holding is the ends that it begins");

static void close_end(struct rusm__end *end, enum rusm__pipe_state how) {
    if (end->is_writer) {
        rusm__pipe_close_writer(end->pipe, how);
    } else {
        rusm__pipe_close_reader(end->pipe, how);
    }
    end->pipe = NULL;
}

/* The process has ended: its ends say how. */
static void end_all(struct rusm__holding *holding, rusm_exit_kind kind) {
    struct rusm__ends *ends = (struct rusm__ends *)holding;
    enum rusm__pipe_state how = kind == RUSM_EXIT_NORMAL ? RUSM__PIPE_CLOSED : RUSM__PIPE_CRASHED;
    for (uint32_t i = 0; i < ends->place_count; i++) {
        if (ends->places[i].pipe) {
            close_end(&ends->places[i], how);
        }
    }
    rusm__mem_free(ends->places);
    rusm__mem_free(ends);
}

struct rusm__ends *rusm__ends_of(const rusm_proc *self) {
    return (struct rusm__ends *)rusm__proc_held(self, end_all);
}

struct rusm__ends *rusm__ends_make(rusm_proc *self) {
    struct rusm__ends *ends = rusm__ends_of(self);
    if (ends) {
        return ends;
    }
    ends = rusm__mem_try_zalloc(sizeof(*ends));
    if (!ends) {
        return NULL;
    }
    ends->holding.end = end_all;
    ends->limit = RUSM_STREAM_ENDS;
    if (rusm__proc_hold(self, &ends->holding) != RUSM_OK) {
        rusm__mem_free(ends);
        return NULL;
    }
    return ends;
}

static int grow(struct rusm__ends *ends) {
    uint32_t count = ends->place_count ? ends->place_count * 2 : FIRST_PLACES;
    struct rusm__end *places = rusm__mem_try_realloc(ends->places, count * sizeof(*places));
    if (!places) {
        return RUSM_ENOMEM;
    }
    for (uint32_t i = count; i > ends->place_count; i--) { /* the lowest is used first */
        places[i - 1] = (struct rusm__end){.next = ends->free};
        ends->free = i;
    }
    ends->places = places;
    ends->place_count = count;
    return RUSM_OK;
}

int rusm__ends_reserve(struct rusm__ends *ends) {
    if (ends->count >= ends->limit) {
        return RUSM_ELIMIT;
    }
    return ends->free ? RUSM_OK : grow(ends);
}

rusm_stream rusm__ends_add(struct rusm__ends *ends, struct rusm__pipe *pipe, bool is_writer) {
    uint32_t number = ends->free;
    RUSM_CHECK(number != 0);
    struct rusm__end *end = &ends->places[number - 1];
    ends->free = end->next;
    ends->count++;
    *end =
        (struct rusm__end){.pipe = pipe, .generation = ++ends->generation, .is_writer = is_writer};
    return (rusm_stream)end->generation << 32 | number;
}

struct rusm__end *rusm__ends_find(const rusm_proc *self, rusm_stream handle) {
    struct rusm__ends *ends = rusm__ends_of(self);
    uint32_t place = (uint32_t)handle - 1; /* of 0: too large */
    if (!ends || place >= ends->place_count) {
        return NULL;
    }
    struct rusm__end *end = &ends->places[place];
    return end->pipe && end->generation == handle >> 32 ? end : NULL;
}

struct rusm__pipe *rusm__ends_pipe(const rusm_proc *self, rusm_stream handle, bool is_writer) {
    const struct rusm__end *end = rusm__ends_find(self, handle);
    return end && end->is_writer == is_writer ? end->pipe : NULL;
}

void rusm__ends_remove(struct rusm__ends *ends, struct rusm__end *end, enum rusm__pipe_state how) {
    close_end(end, how);
    end->next = ends->free;
    ends->free = (uint32_t)(end - ends->places) + 1;
    ends->count--;
}
