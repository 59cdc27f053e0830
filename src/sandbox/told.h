/* SPDX-License-Identifier: MIT */
/* What people have been told about a component, so that nothing that a guest repeats floods the
 * log: causes once each, and of a cause that has targets each target once, up to a bound. What the
 * bound is met with is told as well, as the last that is said of the cause.
 *
 * A cause is a number below 64. The memory for targets comes with the first of them: 144 bytes for
 * a cause, so at most some 9 KiB for a component whose guests try everything, however often they
 * do.
 *
 * Any thread, without locks. What is read too early costs a line told twice at the most, and even
 * that does not happen: every answer but NOT is decided by one compare-and-swap. */
#ifndef RUSM__SANDBOX_TOLD_H
#define RUSM__SANDBOX_TOLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox/sandbox.h"

#define RUSM__TOLD_CAUSES  64u
#define RUSM__TOLD_TARGETS 16u /* of one cause */

struct rusm__told_targets;

/* All zeroes: nothing was told. */
struct rusm__told {
    _Atomic uint64_t causes;                      /* bit i: nothing more is to be said of cause i */
    _Atomic(struct rusm__told_targets *) targets; /* a list, which only grows */
};

void rusm__told_fini(struct rusm__told *told);

/* True once per cause. */
bool rusm__told_first_time(struct rusm__told *told, unsigned cause);

/* Is this target of the cause to be told? Not together with first_time for the same cause. */
enum rusm__telling rusm__told_target(struct rusm__told *told, unsigned cause, const void *target,
                                     size_t len);

#endif
