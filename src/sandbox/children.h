/* SPDX-License-Identifier: MIT */
/* How many children of one guest are alive. The count is a block of its own, held by the parent
 * and by every child, so that a child can give its place back when the parent is long gone. */
#ifndef RUSM__SANDBOX_CHILDREN_H
#define RUSM__SANDBOX_CHILDREN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

struct rusm__children {
    _Atomic uint32_t holders;
    _Atomic uint32_t alive;
};

/* NULL when memory is short. Held once, by the caller. */
static inline struct rusm__children *rusm__children_new(void) {
    struct rusm__children *children = rusm__mem_try_alloc(sizeof(*children));
    if (children) {
        atomic_init(&children->holders, 1);
        atomic_init(&children->alive, 0);
    }
    return children;
}

/* NULL: none were ever counted. Relaxed: a child that has just ended may still be counted, which
 * refuses a spawn that would have been allowed a moment later. */
static inline uint32_t rusm__children_alive(const struct rusm__children *children) {
    return children ? atomic_load_explicit(&children->alive, memory_order_relaxed) : 0;
}

/* One more than `most` is taken back at once, so two who add together may both be refused, and the
 * limit holds. False: refused. */
static inline bool rusm__children_add(struct rusm__children *children, uint32_t most) {
    if (atomic_fetch_add_explicit(&children->alive, 1, memory_order_relaxed) >= most) {
        atomic_fetch_sub_explicit(&children->alive, 1, memory_order_relaxed);
        return false;
    }
    atomic_fetch_add_explicit(&children->holders, 1, memory_order_relaxed);
    return true;
}

static inline void rusm__children_hold(struct rusm__children *children) {
    atomic_fetch_add_explicit(&children->holders, 1, memory_order_relaxed);
}

/* acq_rel: whoever lets go last must see that the others are done with the block. */
static inline void rusm__children_release(struct rusm__children *children) {
    if (children && atomic_fetch_sub_explicit(&children->holders, 1, memory_order_acq_rel) == 1)
        rusm__mem_free(children);
}

/* A child ended. Relaxed: the count orders nothing. */
static inline void rusm__children_remove(struct rusm__children *children) {
    if (!children)
        return;
    atomic_fetch_sub_explicit(&children->alive, 1, memory_order_relaxed);
    rusm__children_release(children);
}

#endif
