/* SPDX-License-Identifier: MIT */
/* What one guest holds: linear memory, and what the host holds for it; and whether either may grow.
 * Both sides of the ledger are on the scheduler that runs the guest. */
#include "sandbox/sandbox_impl.h"

#define TABLE_ELEMENT_BYTES 16u /* the largest kind */

uint64_t rusm__guest_own_bytes(const struct rusm__guest *guest) {
    const struct rusm__body *body = (const struct rusm__body *)(const void *)guest;
    const struct rusm__sandbox *sandbox = guest->component->sandbox;
    return sizeof(*body) + sandbox->calls_bytes + (body->unit ? sizeof(*body->unit) : 0) +
           sandbox->pools.config.guest_stack_bytes + body->table_bytes;
}

static uint64_t host_bytes(struct rusm__guest *guest) {
    const struct rusm__sandbox *sandbox = guest->component->sandbox;
    return sandbox->guest_held ? sandbox->guest_held(guest) : rusm__guest_own_bytes(guest);
}

void rusm__guest_get_ledger(struct rusm__guest *guest, struct rusm__ledger *out_ledger) {
    const struct rusm__body *body = rusm__body_of(guest);
    *out_ledger = (struct rusm__ledger){
        .memory_bytes = body->instance ? rusm_engine_instance_memory_bytes(body->instance) : 0,
        .max_memory_bytes = guest->profile->max_memory_bytes,
        .host_bytes = host_bytes(guest),
        .max_host_bytes = guest->profile->max_host_bytes,
    };
}

/* ---- growth ---- */

static bool memory_may_grow(struct rusm__body *body, size_t desired) {
    if (desired <= body->guest.profile->max_memory_bytes)
        return true;
    body->denied_bytes = desired;
    return false;
}

/* A denied growth costs its guest a comparison; what was granted stays on the ledger until the
 * guest ends, for tables never shrink. */
static bool table_may_grow(struct rusm__body *body, size_t current, size_t desired) {
    uint64_t limit = body->guest.profile->max_host_bytes;
    uint64_t more = (uint64_t)(desired - current) * TABLE_ELEMENT_BYTES;
    bool fits =
        desired <= RUSM__TABLE_ELEMENTS && (!limit || host_bytes(&body->guest) + more <= limit);
    if (fits)
        body->table_bytes += more;
    else
        body->denied_table_bytes = (uint64_t)desired * TABLE_ELEMENT_BYTES;
    return fits;
}

bool rusm__guest_may_grow(struct rusm__guest *guest, uint32_t kind, size_t current,
                          size_t desired) {
    struct rusm__body *body = rusm__body_of(guest);
    return kind == 0 ? memory_may_grow(body, desired) : table_may_grow(body, current, desired);
}
