/* SPDX-License-Identifier: MIT */
/* How many guests may live: one permit per guest, so that a spawn beyond what the pools hold is
 * refused to the spawner instead of failing later in a process that was already promised.
 *
 * Permits are handed to the lanes in batches; a spawn and an end touch the own lane only, and the
 * common counter once per batch. When the common counter is empty, permits that lie idle in other
 * lanes are taken from there, so none is ever out of reach. Any thread. */
#ifndef RUSM__SANDBOX_PERMITS_H
#define RUSM__SANDBOX_PERMITS_H

#include <stdbool.h>

#include "sandbox/lane.h"

struct rusm__permits {
    struct rusm__lane *lanes; /* one per scheduler */
    uint32_t lane_count;
    uint32_t capacity;
    uint32_t batch;
    uint32_t reserve; /* left to the node: guests that guests spawn cannot take these */
    char pad[64];
    _Atomic uint32_t common;
};

void rusm__permits_init(struct rusm__permits *permits, struct rusm__lane *lanes,
                        uint32_t lane_count, uint32_t capacity);

/* lane: of the scheduler that this is, NULL on another thread. by_guest: leave the reserve alone.
 * False: there is none. */
bool rusm__permits_take(struct rusm__permits *permits, struct rusm__lane *lane, bool by_guest);
void rusm__permits_give(struct rusm__permits *permits, struct rusm__lane *lane);

/* Permits not in use: a moment's picture. */
uint32_t rusm__permits_free(const struct rusm__permits *permits);

#endif
