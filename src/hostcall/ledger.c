/* SPDX-License-Identifier: MIT */
#include "hostcall/ledger.h"

#include "hostcall/hostcall_impl.h"
#include "proc/proc.h"
#include "sandbox/reason.h"

static uint64_t weight_of_timers(const struct rusm__guest_timers *timers) {
    return timers ? timers->bytes + (uint64_t)timers->count * RUSM__WEIGHT_TIMER : 0;
}

static uint64_t open_ends(const struct rusm__calls *calls) {
    return calls->streams ? calls->streams->count : 0;
}

/* All but what lies in streams. */
static uint64_t sum(const struct rusm__guest *guest) {
    const struct rusm__calls *calls = guest->calls;
    return rusm__guest_own_bytes(guest) + calls->stash_bytes + calls->front_bytes +
           weight_of_timers(calls->timers) + (uint64_t)calls->words * RUSM__WEIGHT_WORD +
           (uint64_t)calls->monitors * RUSM__WEIGHT_MONITOR +
           open_ends(calls) * RUSM__WEIGHT_STREAM_END +
           (uint64_t)calls->supervisors * RUSM__WEIGHT_SUPERVISOR +
           calls->supervised * RUSM__WEIGHT_SUPERVISED + calls->outbox.bytes;
}

static uint64_t written(struct rusm__guest *guest) {
    rusm_stream_usage usage = {.size = sizeof(usage)};
    if (!open_ends(rusm__calls_of(guest)) || rusm_stream_get_usage(guest->proc, &usage) < 0)
        return 0;
    return usage.written_bytes;
}

uint64_t rusm__ledger_held(struct rusm__guest *guest) {
    return sum(guest) + written(guest);
}

/* To sum up streams means to walk them. As long as nothing large was written to one, each holds at
 * most its bound, and mostly that is enough to know. */
static bool fits_surely(const struct rusm__guest *guest, uint64_t more) {
    const struct rusm__calls *calls = guest->calls;
    uint64_t most = open_ends(calls) * RUSM_STREAM_BYTES;
    return !(calls->streams && calls->streams->wrote_large) &&
           sum(guest) + most + more <= guest->profile->max_host_bytes;
}

/* Timers that have fired are in the table until somebody looks. */
bool rusm__ledger_fits(struct rusm__guest *guest, uint64_t more) {
    uint64_t limit = guest->profile->max_host_bytes;
    if (!limit || fits_surely(guest, more) || rusm__ledger_held(guest) + more <= limit)
        return true;
    rusm__timers_sweep(guest);
    return rusm__ledger_held(guest) + more <= limit;
}

uint32_t rusm__ledger_trap(struct rusm__guest *guest, uint64_t more) {
    return rusm__hostcall_trap(guest,
                               RUSM__REASON_MEMORY
                               ": the host holds %llu bytes for it and may hold %llu, too few for "
                               "%llu more (`max-host-mb` under [%s.%s])",
                               (unsigned long long)rusm__ledger_held(guest),
                               (unsigned long long)guest->profile->max_host_bytes,
                               (unsigned long long)more, RUSM__LIMITS_TABLE(guest->profile));
}
