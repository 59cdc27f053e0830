/* SPDX-License-Identifier: MIT */
/* A hierarchical timer wheel: arming and cancelling cost the same however many timers there are.
 *
 * Time is counted in ticks of 2^20 ns (about a millisecond). Level l has 64 slots of 64^l ticks;
 * a node lies on the lowest level on which its slot differs from the present one:
 *
 *     level 0   [.|.|n|.|.| ... ]  one tick a slot     fires when its tick comes
 *     level 1   [.|.|.|n|.| ... ]  64 ticks a slot     spread over level 0 when its slot begins
 *     ...
 *
 * Used by one thread; a node must be unlinked before its memory goes. */
#ifndef RUSM__TIMER_WHEEL_H
#define RUSM__TIMER_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

enum { RUSM__WHEEL_LEVELS = 8, RUSM__WHEEL_SLOTS = 64, RUSM__WHEEL_TICK_SHIFT = 20 };

struct rusm__wheel_node {
    struct rusm__list link; /* initialise with rusm__wheel_node_init */
    uint64_t tick;          /* when it is due */
};

struct rusm__wheel {
    uint64_t now; /* everything due at or before this tick has been moved to `due` */
    uint64_t occupied[RUSM__WHEEL_LEVELS]; /* a set bit may be stale, a clear one is not */
    struct rusm__list slots[RUSM__WHEEL_LEVELS][RUSM__WHEEL_SLOTS];
    struct rusm__list due; /* in the order they came due */
};

void rusm__wheel_init(struct rusm__wheel *wheel, uint64_t now_ns);
void rusm__wheel_node_init(struct rusm__wheel_node *node);

/* Arm a node that is not armed for deadline_ns: never early, late by at most one tick plus the
 * caller's own delay. */
void rusm__wheel_arm(struct rusm__wheel *wheel, struct rusm__wheel_node *node,
                     uint64_t deadline_ns);
/* Also for a node that is due or not armed. */
void rusm__wheel_cancel(struct rusm__wheel_node *node);

/* Move on to now_ns and return the next node that is due, unlinked; NULL when there is none. */
struct rusm__wheel_node *rusm__wheel_pop(struct rusm__wheel *wheel, uint64_t now_ns);

/* No node is due before this time; UINT64_MAX when none is armed. May be earlier than the next
 * deadline (a slot that has to be spread), never later. */
uint64_t rusm__wheel_next_ns(struct rusm__wheel *wheel);

/* Every node lies where it belongs. For tests. */
bool rusm__wheel_validate(const struct rusm__wheel *wheel);

#endif
