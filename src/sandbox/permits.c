/* SPDX-License-Identifier: MIT */
/* Permits. All counters are relaxed: a permit stands for room in a pool and publishes nothing; the
 * pool itself synchronises who uses which slot. */
#include "sandbox/permits.h"

#define LARGEST_BATCH 64u

void rusm__permits_init(struct rusm__permits *permits, struct rusm__lane *lanes,
                        uint32_t lane_count, uint32_t capacity) {
    uint32_t batch = capacity / (8 * lane_count);
    *permits = (struct rusm__permits){
        .lanes = lanes,
        .lane_count = lane_count,
        .capacity = capacity,
        .batch = batch < 1               ? 1
                 : batch > LARGEST_BATCH ? LARGEST_BATCH
                                         : batch,
        .reserve = capacity / 8,
    };
    atomic_init(&permits->common, capacity);
}

/* Take up to `wanted`; returns how many. */
static uint32_t take_some(_Atomic uint32_t *counter, uint32_t wanted) {
    uint32_t have = atomic_load_explicit(counter, memory_order_relaxed);
    while (have) {
        uint32_t taken = have < wanted ? have : wanted;
        if (atomic_compare_exchange_weak_explicit(counter, &have, have - taken,
                                                  memory_order_relaxed, memory_order_relaxed))
            return taken;
    }
    return 0;
}

static void add(_Atomic uint32_t *counter, uint32_t count) {
    atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

static bool rob(struct rusm__permits *permits) {
    for (uint32_t i = 0; i < permits->lane_count; i++) {
        if (take_some(&permits->lanes[i].spare, 1))
            return true;
    }
    return false;
}

static bool refill(struct rusm__permits *permits, struct rusm__lane *lane) {
    uint32_t got = take_some(&permits->common, lane ? permits->batch : 1);
    if (got > 1)
        add(&lane->spare, got - 1);
    return got || rob(permits);
}

/* May a guest's child have one? The common counter answers nearly always; near the end everything
 * is summed. Two spawns at once may take one more than allowed, which the reserve bears. */
static bool beyond_reserve(const struct rusm__permits *permits) {
    return atomic_load_explicit(&permits->common, memory_order_relaxed) > permits->reserve ||
           rusm__permits_free(permits) > permits->reserve;
}

bool rusm__permits_take(struct rusm__permits *permits, struct rusm__lane *lane, bool by_guest) {
    if (by_guest && !beyond_reserve(permits))
        return false;
    if (lane && take_some(&lane->spare, 1))
        return true;
    return refill(permits, lane);
}

void rusm__permits_give(struct rusm__permits *permits, struct rusm__lane *lane) {
    if (!lane) {
        add(&permits->common, 1);
        return;
    }
    add(&lane->spare, 1);
    /* Keep one batch at hand and give back what is more, a batch at a time. */
    if (atomic_load_explicit(&lane->spare, memory_order_relaxed) > 2 * permits->batch)
        add(&permits->common, take_some(&lane->spare, permits->batch));
}

uint32_t rusm__permits_free(const struct rusm__permits *permits) {
    uint32_t sum = atomic_load_explicit(&permits->common, memory_order_relaxed);
    for (uint32_t i = 0; i < permits->lane_count; i++)
        sum += atomic_load_explicit(&permits->lanes[i].spare, memory_order_relaxed);
    return sum < permits->capacity ? sum : permits->capacity;
}
