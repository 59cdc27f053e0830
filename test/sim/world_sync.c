/* SPDX-License-Identifier: MIT */
/* Atomics with a store buffer per thread, and locks. */
#include "world_impl.h"

#include <stdatomic.h>
#include <string.h>

#include "world_calls.h"

/* ---- the store buffer: first in, first out ---- */

void sim_flush_one(void) {
    struct sim_thread *here = sim_world.current;
    struct sim_pending *oldest = &here->buffer[0];
    memcpy(oldest->at, oldest->value, oldest->bytes);
    here->pending--;
    memmove(oldest, oldest + 1, here->pending * sizeof(*oldest));
}

void sim_flush(void) {
    while (sim_world.current->pending) {
        sim_flush_one();
    }
}

static const struct sim_pending *own_store(const void *at) {
    const struct sim_thread *here = sim_world.current;
    for (unsigned i = here->pending; i-- > 0;) {
        if (here->buffer[i].at == at) {
            return &here->buffer[i];
        }
    }
    return NULL;
}

/* ---- atomics ---- */

void sim_atomic_load(const void *from, void *to, size_t bytes, const char *file, int line) {
    sim_point(file, line);
    const struct sim_pending *own = own_store(from);
    memcpy(to, own ? own->value : from, bytes);
}

void sim_atomic_store(void *to, const void *from, size_t bytes, int order, const char *file,
                      int line) {
    sim_point(file, line);
    struct sim_thread *here = sim_world.current;
    if (order == memory_order_seq_cst || !sim_world.weak_stores) {
        sim_flush();
        memcpy(to, from, bytes);
        return;
    }
    if (here->pending == SIM_BUFFER) {
        sim_flush_one();
    }
    struct sim_pending *own = &here->buffer[here->pending++];
    own->at = to;
    own->bytes = bytes;
    memcpy(own->value, from, bytes);
}

void sim_atomic_step(const char *file, int line) {
    sim_point(file, line);
    sim_flush();
}

void sim_atomic_fence(int order, const char *file, int line) {
    sim_point(file, line);
    if (order == memory_order_seq_cst) {
        sim_flush();
    }
}

bool sim_atomic_swap(void *at, void *expected, const void *wanted, size_t bytes, bool weak,
                     const char *file, int line) {
    sim_atomic_step(file, line);
    if (memcmp(at, expected, bytes) != 0) {
        memcpy(expected, at, bytes);
        return false;
    }
    if (weak && sim_fault(20)) {
        return false; /* it may fail for no reason */
    }
    memcpy(at, wanted, bytes);
    return true;
}

/* ---- locks ---- */

static unsigned own_number(void) {
    return sim_world.current->index + 1;
}

int sim_mutex_init(struct sim_mutex *mutex) {
    *mutex = (struct sim_mutex){.ready = true};
    return 0;
}

int sim_mutex_destroy(struct sim_mutex *mutex) {
    if (!mutex->ready || mutex->owner) {
        sim_fail("a lock that is held or was never made is destroyed");
    }
    mutex->ready = false;
    return 0;
}

int sim_mutex_trylock(struct sim_mutex *mutex, const char *file, int line) {
    sim_atomic_step(file, line);
    if (!mutex->ready) {
        sim_fail("%s:%d takes a lock that is not there", file, line);
    }
    if (mutex->owner) {
        return 1;
    }
    mutex->owner = own_number();
    return 0;
}

int sim_mutex_lock(struct sim_mutex *mutex, const char *file, int line) {
    while (sim_mutex_trylock(mutex, file, line) != 0) {
        if (mutex->owner == own_number()) {
            sim_fail("%s:%d takes a lock that it holds", file, line);
        }
        sim_block(mutex, UINT64_MAX);
    }
    return 0;
}

int sim_mutex_unlock(struct sim_mutex *mutex, const char *file, int line) {
    sim_atomic_step(file, line);
    if (mutex->owner != own_number()) {
        sim_fail("%s:%d gives back a lock that it does not hold", file, line);
    }
    mutex->owner = 0;
    sim_wake(mutex);
    sim_point(file, line);
    return 0;
}

int sim_cond_init(struct sim_cond *cond) {
    *cond = (struct sim_cond){0};
    return 0;
}

int sim_cond_wait(struct sim_cond *cond, struct sim_mutex *mutex, uint64_t until_ns) {
    /* Nothing comes between giving the lock back and waiting. */
    sim_flush();
    mutex->owner = 0;
    sim_wake(mutex);
    cond->waiters++;
    sim_block(cond, until_ns);
    cond->waiters--;
    bool late = until_ns <= sim_now();
    sim_mutex_lock(mutex, __FILE__, __LINE__);
    return late ? 110 : 0; /* ETIMEDOUT */
}

int sim_cond_wake(struct sim_cond *cond) {
    sim_atomic_step(__FILE__, __LINE__);
    sim_wake(cond);
    return 0;
}

/* ---- what belongs to a thread ---- */

int sim_key_create(unsigned *out_key, void (*at_end)(void *)) {
    if (sim_world.keys == SIM_KEYS) {
        return 1;
    }
    *out_key = sim_world.keys;
    sim_world.key_ends[sim_world.keys++] = at_end;
    return 0;
}

int sim_key_set(unsigned key, const void *value) {
    sim_world.current->specific[key] = value;
    return 0;
}
