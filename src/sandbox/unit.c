/* SPDX-License-Identifier: MIT */
/* Time of units of work. See unit.h. */
#include "sandbox/unit.h"

#include "rusm/error.h"

#include "base/clock.h"
#include "base/number.h"
#include "proc/proc.h"
#include "sandbox/reason.h"
#include "sandbox/sandbox.h"
#include "sandbox/sandbox_impl.h"

/* ---- counting ---- */

#define TICK_NS RUSM__MS /* of the clock thread */

static void begin(struct rusm__unit *unit, uint64_t now, bool at_tick) {
    unit->state = RUSM__UNIT_COUNTED;
    unit->used_ns = 0;
    if (!unit->is_request)
        unit->end_ns = now + unit->wall_ns;
    if (at_tick && unit->cpu_ns)
        unit->base_ns = rusm__clock_thread_cpu_ns();
}

/* What the step has used since the unit was looked at last. Without a tick it was short, and its
 * length will do; longer than the time between two ticks it was only if its thread did not run. */
static uint64_t used_since(struct rusm__unit *unit, uint64_t now, bool at_tick) {
    uint64_t base = unit->base_ns;
    if (at_tick || base)
        unit->base_ns = rusm__clock_thread_cpu_ns();
    if (base)
        return unit->base_ns - base;
    uint64_t passed = now - unit->step_ns;
    return passed < TICK_NS ? passed : TICK_NS;
}

static void check(struct rusm__unit *unit, uint64_t now) {
    if (unit->cpu_ns && unit->used_ns >= unit->cpu_ns)
        unit->over = RUSM__OVERTIME_CPU;
    else if (unit->wall_ns && now >= unit->end_ns)
        unit->over = RUSM__OVERTIME_DEADLINE;
}

/* A request whose deadline passed while it waited for its first turn. The coarse clock runs behind
 * the other one, so it is never early. */
static bool is_late(const struct rusm__unit *unit) {
    return unit->is_request && unit->wall_ns && rusm__clock_coarse_ns() >= unit->end_ns;
}

bool rusm__unit_enter(struct rusm__unit *unit) {
    unit->base_ns = 0; /* what it was is another thread's */
    if (unit->state == RUSM__UNIT_COUNTED) {
        unit->step_ns = rusm__clock_ns();
        check(unit, unit->step_ns);
    } else if (unit->state == RUSM__UNIT_FRESH && is_late(unit)) {
        unit->over = RUSM__OVERTIME_DEADLINE;
    }
    return unit->over;
}

static bool look(struct rusm__unit *unit, bool at_tick) {
    if (unit->state == RUSM__UNIT_RESTING)
        return unit->over;
    uint64_t now = rusm__clock_ns();
    if (unit->state == RUSM__UNIT_FRESH) {
        begin(unit, now, at_tick);
        return false;
    }
    if (unit->cpu_ns)
        unit->used_ns += used_since(unit, now, at_tick);
    check(unit, now);
    return unit->over;
}

bool rusm__unit_look(struct rusm__unit *unit) {
    return look(unit, false);
}

bool rusm__unit_tick(struct rusm__unit *unit, rusm_proc *self) {
    if (look(unit, true))
        return true;
    /* Without memory for the timer its turn comes as ever. */
    if (unit->state == RUSM__UNIT_COUNTED && unit->wall_ns &&
        rusm__proc_due_at(self, unit->end_ns) == RUSM_OK)
        unit->armed_ns = unit->end_ns;
    return false;
}

/* ---- waiting ---- */

int rusm__unit_arm(struct rusm__unit *unit, rusm_proc *self) {
    uint64_t at = unit->poll_ns ? unit->poll_ns : RUSM__NEVER;
    if (unit->state == RUSM__UNIT_COUNTED && unit->wall_ns)
        at = rusm__min_u64(at, unit->end_ns);
    if (at == RUSM__NEVER)
        return RUSM_OK;
    if (unit->armed_ns <= at && unit->armed_ns > rusm__clock_ns())
        return RUSM_OK; /* it is woken before that, and comes here again */
    unit->armed_ns = at;
    return rusm_proc_wake_at(self, at);
}

/* ---- what host calls say ---- */

int rusm__guest_poll_at(struct rusm__guest *guest, uint64_t deadline_ns) {
    struct rusm__unit *unit = rusm__body_of(guest)->unit;
    if (!unit)
        return rusm_proc_wake_at(guest->proc, deadline_ns);
    unit->poll_ns = deadline_ns == UINT64_MAX ? 0 : deadline_ns;
    return RUSM_OK;
}

void rusm__unit_rest(struct rusm__guest *guest) {
    rusm__body_of(guest)->unit->state = RUSM__UNIT_RESTING;
}

void rusm__unit_receive(struct rusm__guest *guest, bool mail) {
    struct rusm__unit *unit = rusm__body_of(guest)->unit;
    if (mail || unit->state == RUSM__UNIT_RESTING)
        unit->state = RUSM__UNIT_FRESH;
}

/* ---- telling ---- */

static unsigned long long ms(uint64_t ns) {
    return (unsigned long long)(ns / RUSM__MS);
}

void rusm__unit_explain(const struct rusm__unit *unit, const struct rusm__profile *profile,
                        struct rusm__buf *out) {
    if (unit->over == RUSM__OVERTIME_CPU)
        rusm__buf_addf(out,
                       RUSM__REASON_CPU ": a unit of work has used %llu ms of CPU time and may use "
                                        "%llu (`cpu-ms` under [%s.%s])",
                       ms(unit->used_ns), ms(unit->cpu_ns), RUSM__LIMITS_TABLE(profile));
    else
        rusm__buf_addf(out,
                       RUSM__REASON_DEADLINE ": a unit of work was not done after %llu ms "
                                             "(`deadline-ms` under [%s.%s])",
                       ms(unit->wall_ns), RUSM__LIMITS_TABLE(profile));
}
