/* SPDX-License-Identifier: MIT */
/* Included before everything else when the core is compiled for the simulation (-include): the
 * same sources, on another machine. See world.h.
 *
 * The system's headers come first, so that they are read as they are; then the names that the core
 * uses are given to the world. Macros with parameters leave other uses of a name alone. */
#ifndef RUSM_TEST_SIM_REPLACE_H
#define RUSM_TEST_SIM_REPLACE_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <uv.h>

#include "world_calls.h"

/* ---- atomics ---- */

#define SIM_HERE     __FILE__, __LINE__
#define SIM_VALUE(p) __typeof__((void)0, *(p))

#undef atomic_init
#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_thread_fence

#define atomic_load_explicit(p, order)                                                             \
    __extension__({                                                                                \
        __auto_type sim_p = (p);                                                                   \
        SIM_VALUE(sim_p) sim_v;                                                                    \
        (void)(order);                                                                             \
        sim_atomic_load((const void *)sim_p, (void *)&sim_v, sizeof(sim_v), SIM_HERE);             \
        sim_v;                                                                                     \
    })
#define atomic_load(p) atomic_load_explicit((p), memory_order_seq_cst)
#define atomic_store_explicit(p, value, order)                                                     \
    __extension__({                                                                                \
        __auto_type sim_p = (p);                                                                   \
        SIM_VALUE(sim_p) sim_v = (value);                                                          \
        sim_atomic_store((void *)sim_p, (const void *)&sim_v, sizeof(sim_v), (int)(order),         \
                         SIM_HERE);                                                                \
    })
#define atomic_init(p, value) atomic_store_explicit((p), (value), memory_order_seq_cst)
#define atomic_exchange_explicit(p, value, order)                                                  \
    __extension__({                                                                                \
        __auto_type sim_p = (p);                                                                   \
        SIM_VALUE(sim_p) sim_v = (value);                                                          \
        (void)(order);                                                                             \
        sim_atomic_step(SIM_HERE);                                                                 \
        SIM_VALUE(sim_p) sim_old = *sim_p;                                                         \
        *sim_p = sim_v;                                                                            \
        sim_old;                                                                                   \
    })
#define SIM_SWAP(p, expected, value, weak)                                                         \
    __extension__({                                                                                \
        __auto_type sim_p = (p);                                                                   \
        SIM_VALUE(sim_p) sim_v = (value);                                                          \
        sim_atomic_swap((void *)sim_p, (void *)(expected), (const void *)&sim_v, sizeof(sim_v),    \
                        (weak), SIM_HERE);                                                         \
    })
#define atomic_compare_exchange_strong_explicit(p, expected, value, order, failed)                 \
    ((void)(order), (void)(failed), SIM_SWAP(p, expected, value, false))
#define atomic_compare_exchange_weak_explicit(p, expected, value, order, failed)                   \
    ((void)(order), (void)(failed), SIM_SWAP(p, expected, value, true))
#define SIM_FETCH(p, op, value, order)                                                             \
    __extension__({                                                                                \
        __auto_type sim_p = (p);                                                                   \
        __auto_type sim_by = (value);                                                              \
        (void)(order);                                                                             \
        sim_atomic_step(SIM_HERE);                                                                 \
        SIM_VALUE(sim_p) sim_old = *sim_p;                                                         \
        *sim_p = (SIM_VALUE(sim_p))(sim_old op sim_by);                                            \
        sim_old;                                                                                   \
    })
#define atomic_fetch_add_explicit(p, value, order) SIM_FETCH(p, +, value, order)
#define atomic_fetch_sub_explicit(p, value, order) SIM_FETCH(p, -, value, order)
#define atomic_fetch_or_explicit(p, value, order)  SIM_FETCH(p, |, value, order)
#define atomic_fetch_and_explicit(p, value, order) SIM_FETCH(p, &, value, order)
#define atomic_thread_fence(order)                 sim_atomic_fence((int)(order), SIM_HERE)

/* ---- threads ---- */

/* One section, swapped when another thread goes on. */
#define _Thread_local __attribute__((section("sim_thread_local")))

#undef PTHREAD_MUTEX_INITIALIZER
#undef PTHREAD_COND_INITIALIZER
#undef PTHREAD_ONCE_INIT
#define PTHREAD_MUTEX_INITIALIZER {0, true}
#define PTHREAD_COND_INITIALIZER  {0}
#define PTHREAD_ONCE_INIT         false

#define pthread_t       sim_thread_id
#define pthread_mutex_t sim_mutex_type
#define pthread_cond_t  sim_cond_type
#define pthread_key_t   sim_key_type
#define pthread_once_t  sim_once_type
typedef void *sim_thread_id;
typedef struct sim_mutex sim_mutex_type;
typedef struct sim_cond sim_cond_type;
typedef unsigned sim_key_type;
typedef bool sim_once_type;

static inline int sim_once(bool *done, void (*fn)(void)) {
    if (!*done) {
        *done = true;
        fn();
    }
    return 0;
}

static inline uint64_t sim_ns(const struct timespec *time) {
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
}

#define pthread_create(thread, attributes, fn, arg)                                                \
    ((void)(attributes), sim_thread_create((thread), (fn), (arg)))
#define pthread_join(thread, result)            ((void)(result), sim_thread_wait(thread))
#define pthread_detach(thread)                  sim_thread_let_go(thread)
#define pthread_self()                          ((void *)0)
#define pthread_setname_np(thread, name)        sim_thread_name((thread), (name))
#define pthread_mutex_init(mutex, attributes)   ((void)(attributes), sim_mutex_init(mutex))
#define pthread_mutex_destroy(mutex)            sim_mutex_destroy(mutex)
#define pthread_mutex_lock(mutex)               sim_mutex_lock((mutex), SIM_HERE)
#define pthread_mutex_trylock(mutex)            sim_mutex_trylock((mutex), SIM_HERE)
#define pthread_mutex_unlock(mutex)             sim_mutex_unlock((mutex), SIM_HERE)
#define pthread_cond_init(cond, attributes)     ((void)(attributes), sim_cond_init(cond))
#define pthread_cond_destroy(cond)              ((void)(cond))
#define pthread_cond_wait(cond, mutex)          sim_cond_wait((cond), (mutex), UINT64_MAX)
#define pthread_cond_timedwait(cond, mutex, at) sim_cond_wait((cond), (mutex), sim_ns(at))
#define pthread_cond_signal(cond)               sim_cond_wake(cond)
#define pthread_cond_broadcast(cond)            sim_cond_wake(cond)
#define pthread_key_create(key, at_end)         sim_key_create((key), (at_end))
#define pthread_setspecific(key, value)         sim_key_set((key), (value))
#define pthread_once(done, fn)                  sim_once((done), (fn))

/* ---- time, chance, memory ---- */

#define clock_gettime(id, now)     ((void)(id), sim_clock((now), SIM_HERE))
#define nanosleep(time, left)      ((void)(left), sim_sleep(sim_ns(time)))
#define getrandom(out, len, flags) ((void)(flags), sim_entropy((out), (len)))
#define malloc(bytes)              sim_alloc((bytes), 16, false)
#define calloc(count, bytes)       sim_alloc((count) * (bytes), 16, true)
#define aligned_alloc(align, size) sim_alloc((size), (align), false)
#define realloc(old, bytes)        sim_realloc((old), (bytes))
#define free(memory)               sim_free(memory)
#define mmap(at, bytes, protection, flags, fd, offset)                                             \
    ((void)(at), (void)(fd), (void)(offset), sim_map((bytes), (protection), (flags)))
#define munmap(memory, bytes) sim_unmap((memory), (bytes))

#endif
