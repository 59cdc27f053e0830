/* SPDX-License-Identifier: MIT */
/* Units of work and the time that one may take: `cpu-ms` and `deadline-ms`.
 *
 * A request or a command is one unit from its start to its end. Any other guest begins a unit when
 * a message is handed to it, and ends it when it waits for the next one; what comes before its
 * first message is a unit too.
 *
 *                      a message, or the wait timed out
 *      FRESH ◄───────────────────────────────────────── RESTING
 *        │  ▲ a message                                    ▲
 *        │  └──────────────────┐                           │ waits for a message
 *        └── looked at ──► COUNTED ────────────────────────┘
 *
 * Nothing is read from a clock where a unit begins, but for the deadline of a request, which counts
 * from its spawn however long it waits for its first turn; one that is too late then (a coarse
 * clock tells) is not started at all. A unit is looked at when a tick of the clock thread
 * interrupts the guest, and when the guest waits in the middle of it; its time counts from the
 * first look. So a unit that is over before that costs two stores, a limit is never met early, and
 * what a unit may gain is less than the time between two ticks. CPU time is read where ticks are; a
 * step that meets none counts by its length, which is short.
 *
 * Who waits longer than its deadline is woken by the one timer that a process has
 * (rusm_proc_wake_at). It is set when the guest waits in the middle of a unit and is not taken
 * back: a wake in vain is cheaper than a cancelled timer per wait. Host calls that want to be asked
 * again at some time share it through rusm__guest_poll_at. */
#ifndef RUSM__SANDBOX_UNIT_H
#define RUSM__SANDBOX_UNIT_H

#include <stdbool.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm/process.h"

#include "base/buf.h"

enum rusm__unit_state { RUSM__UNIT_FRESH, RUSM__UNIT_COUNTED, RUSM__UNIT_RESTING };
enum rusm__overtime { RUSM__OVERTIME_NONE, RUSM__OVERTIME_CPU, RUSM__OVERTIME_DEADLINE };

/* Zeroed at the spawn; used by the scheduler that runs the guest. */
struct rusm__unit {
    uint64_t cpu_ns; /* limits; 0: none */
    uint64_t wall_ns;
    uint64_t used_ns;  /* CPU time of the unit up to base_ns */
    uint64_t base_ns;  /* the thread's CPU clock at the last tick of this step; 0: none was yet */
    uint64_t step_ns;  /* when this step began, if the unit was COUNTED then */
    uint64_t end_ns;   /* its deadline, COUNTED only; of a request always */
    uint64_t poll_ns;  /* when a host call wants to be asked again; 0: it does not */
    uint64_t armed_ns; /* what the timer of the process was last set to */
    uint8_t state;     /* enum rusm__unit_state */
    uint8_t over;      /* enum rusm__overtime; once set it stays */
    bool is_request;   /* its one unit began when it was spawned */
};

/* A step begins. True: its time is up. */
bool rusm__unit_enter(struct rusm__unit *unit);
/* When the step is over and the guest is not. True: its time is up. */
bool rusm__unit_look(struct rusm__unit *unit);
/* At a tick. True: its time is up. If the tick ends its turn, its deadline will not wait for the
 * next one: it is due then (rusm__proc_due_at), however many others spin. */
bool rusm__unit_tick(struct rusm__unit *unit, rusm_proc *self);
/* The guest waits: let it be woken in time. RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__unit_arm(struct rusm__unit *unit, rusm_proc *self);

/* The reason's text, for a guest of this profile. */
struct rusm__profile;
void rusm__unit_explain(const struct rusm__unit *unit, const struct rusm__profile *profile,
                        struct rusm__buf *out);

#endif
