/* SPDX-License-Identifier: MIT */
/* How often something may be done: so many at once, then one an interval. One number, the time at
 * which everything taken so far would be earned, so that any thread can ask without a lock. */
#ifndef RUSM__SANDBOX_ALLOWANCE_H
#define RUSM__SANDBOX_ALLOWANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rusm__allowance {
    _Atomic uint64_t earned_ns; /* 0: nothing was taken yet */
};

/* Relaxed: nothing but the count hangs on it. A refusal writes nothing, so that a storm of them
 * does not share a cache line. */
static inline bool rusm__allowance_take(struct rusm__allowance *allowance, uint64_t now_ns,
                                        uint64_t interval_ns, uint32_t at_once) {
    uint64_t earned = atomic_load_explicit(&allowance->earned_ns, memory_order_relaxed);
    for (;;) {
        uint64_t from = earned > now_ns ? earned : now_ns;
        if (from - now_ns > (at_once - 1) * interval_ns)
            return false;
        if (atomic_compare_exchange_weak_explicit(&allowance->earned_ns, &earned,
                                                  from + interval_ns, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
}

#endif
