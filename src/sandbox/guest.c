/* SPDX-License-Identifier: MIT */
/* A guest as a process body: one block holds the guest, the state of the host calls and, if its
 * time is limited, its unit of work; the instance is made at the first step, on the scheduler that
 * runs it.
 *
 *   spawned -> step: start, resume ... PENDING -> WAIT (or work off the guest's stack, and resume)
 *                                      YIELDED -> AGAIN
 *                                      DONE, TRAPPED, EXITED -> settle, end, EXIT
 *                  its time is up: stop, resume until it ends -> settle, end, EXIT
 *           -> unwind (killed): stop, resume until it ends -> end, EXIT
 *   drop: frees the block
 *
 * `end` gives everything back before watchers are told: a parent that hears of a child's death can
 * spawn the next one at once. */
#include "sandbox/sandbox_impl.h"

#include "rusm/error.h"

#include "base/mem.h"
#include "proc/proc.h"
#include "sandbox/lines.h"

/* Resumes that a stopped instance gets before it is dropped as it is. */
#define UNWINDS_MAX 64

static void announce(struct rusm__body *body) {
    const struct rusm__component *component = body->guest.component;
    if (!body->announced)
        rusm__line_spawn(component->name, body->guest.pid, component->grants);
    body->announced = true;
}

static bool start(struct rusm__body *body, rusm_proc *self, struct rusm__lane *lane) {
    struct rusm__guest *guest = &body->guest;
    guest->pid = rusm_proc_pid(self);
    announce(body);
    rusm_engine_prepared *prepared = rusm__copies_choose(guest->component, lane);
    return rusm_engine_start(prepared, guest, guest->pid, &body->instance) == RUSM_OK;
}

/* Give back all that the guest held. Idempotent. */
static void end(struct rusm__body *body) {
    struct rusm__guest *guest = &body->guest;
    struct rusm__sandbox *sandbox = guest->component->sandbox;
    if (body->ended)
        return;
    body->ended = true;
    if (guest->proc)
        rusm__report_end(body, guest->proc);
    if (body->instance)
        rusm_engine_drop(body->instance);
    body->instance = NULL;
    if (sandbox->guest_end)
        sandbox->guest_end(guest);
    rusm__mem_free((void *)guest->connection);
    rusm__children_release(body->children);
    rusm__children_remove(body->siblings);
    rusm__guest_give_room(guest->component, rusm__sandbox_lane(sandbox));
}

/* ---- step ---- */

/* After work off the guest's stack it goes on at once, unless its time is up: a guest that always
 * has such work might never run long enough to meet a tick. */
static bool may_go_on(struct rusm__body *body, rusm_proc *self) {
    if (rusm__proc_is_doomed(self))
        return false;
    return rusm__ticker_now(&body->guest.component->sandbox->ticker) == body->slice ||
           !rusm__proc_should_yield(self);
}

/* On a lent turn: the rest is for its own turn, which comes as soon as the lender's is over. */
static rusm_step defer(rusm_proc *self) {
    rusm__proc_defer(self);
    return RUSM_STEP_AGAIN;
}

/* What the host call left to do. True: resume now. */
static bool work_off_stack(struct rusm__body *body, rusm_proc *self, rusm_step *out_step) {
    bool (*work)(struct rusm__guest *) = body->guest.off_stack;
    *out_step = RUSM_STEP_WAIT;
    if (!work)
        return false;
    if (body->has_lent_turn) { /* there is a guest's stack below */
        *out_step = defer(self);
        return false;
    }
    body->guest.off_stack = NULL;
    if (!work(&body->guest))
        return false;
    *out_step = RUSM_STEP_AGAIN;
    return may_go_on(body, self);
}

/* A waiting call answers an error, a running one is stopped at its next tick. */
static int stop(struct rusm__body *body) {
    rusm_engine_stop(body->instance);
    int outcome = rusm_engine_resume(body->instance);
    body->guest.off_stack = NULL;
    return outcome;
}

static bool is_end(int outcome) {
    return outcome != RUSM_ENGINE_PENDING && outcome != RUSM_ENGINE_YIELDED;
}

/* Its deadline passed before its first turn: it is not started for the little that it could do. */
static rusm_step never_start(struct rusm__body *body, rusm_proc *self) {
    body->guest.pid = rusm_proc_pid(self);
    announce(body);
    rusm__crash_overtime(body, self);
    return RUSM_STEP_EXIT;
}

/* Its unit of work has taken too long. It has no say in this. */
static rusm_step cut_off(struct rusm__body *body, rusm_proc *self) {
    if (body->has_lent_turn)
        return defer(self);
    if (!body->instance)
        return never_start(body, self);
    int outcome = stop(body);
    if (is_end(outcome))
        rusm__crash_settle(body, self, outcome);
    else if (++body->unwinds > UNWINDS_MAX)
        rusm__crash_overtime(body, self);
    else
        return RUSM_STEP_AGAIN;
    return RUSM_STEP_EXIT;
}

/* The guest does not run, and its unit may not be over. On a lent turn it does not end. */
static rusm_step pause_unit(struct rusm__body *body, rusm_proc *self, rusm_step step) {
    if (rusm__unit_look(body->unit))
        return cut_off(body, self);
    if (step == RUSM_STEP_WAIT && rusm__unit_arm(body->unit, self) < 0) {
        if (body->has_lent_turn)
            return defer(self);
        rusm__crash_no_memory(self, "the deadline of a wait");
        return RUSM_STEP_EXIT;
    }
    return step;
}

static bool is_blocked(struct rusm__body *body) {
    return body->guest.blocked && body->guest.blocked(&body->guest);
}

/* A call that returned is not over. An end waits for it too. */
static rusm_step hold_up(struct rusm__body *body, rusm_proc *self, int outcome) {
    if (is_end(outcome))
        body->returned = (uint8_t)outcome;
    return body->unit ? pause_unit(body, self, RUSM_STEP_WAIT) : RUSM_STEP_WAIT;
}

/* On a lent turn it ends in the next one, its own. */
static rusm_step finish(struct rusm__body *body, rusm_proc *self, int outcome) {
    if (body->has_lent_turn) {
        body->returned = (uint8_t)outcome;
        return defer(self);
    }
    rusm__crash_settle(body, self, outcome);
    return RUSM_STEP_EXIT;
}

/* What a lent turn left to be done comes first. */
static rusm_step run(struct rusm__body *body, rusm_proc *self) {
    rusm_step step = RUSM_STEP_WAIT;
    int outcome = RUSM_ENGINE_PENDING;
    bool goes_on = !body->guest.off_stack || work_off_stack(body, self, &step);
    while (goes_on) {
        outcome = rusm_engine_resume(body->instance);
        goes_on = outcome == RUSM_ENGINE_PENDING && work_off_stack(body, self, &step);
    }
    if (outcome == RUSM_ENGINE_PENDING)
        return body->unit ? pause_unit(body, self, step) : step;
    if (outcome != RUSM_ENGINE_TRAPPED && is_blocked(body))
        return hold_up(body, self, outcome);
    /* Stopped by a tick because somebody ends it: the core comes back with an unwind, and with the
     * reason that a plain exit would not have. */
    if (outcome == RUSM_ENGINE_YIELDED || rusm__crash_is_kill(body, self, outcome))
        return RUSM_STEP_AGAIN;
    return finish(body, self, outcome);
}

/* The lane is looked up once: a process does not change schedulers within a step. On a lent turn
 * the clock knows already that a guest runs. */
static rusm_step body_step(rusm_proc *self, void *memory) {
    struct rusm__body *body = memory;
    struct rusm__sandbox *sandbox = body->guest.component->sandbox;
    struct rusm__lane *lane = rusm__sandbox_lane(sandbox);
    rusm_step step = RUSM_STEP_EXIT;
    body->guest.proc = self;
    body->has_lent_turn = lane->is_lent;
    if (!lane->is_lent)
        rusm__ticker_enter(&sandbox->ticker, lane);
    body->slice = rusm__ticker_now(&sandbox->ticker);
    if (body->unit && rusm__unit_enter(body->unit))
        step = cut_off(body, self);
    else if (body->returned != RUSM_ENGINE_TRAPPED && is_blocked(body))
        step = hold_up(body, self, RUSM_ENGINE_PENDING);
    else if (is_end(body->returned))
        step = finish(body, self, body->returned);
    else if (body->instance || start(body, self, lane))
        step = run(body, self);
    else
        rusm__crash_no_memory(self, "an instance");
    if (step == RUSM_STEP_EXIT)
        end(body);
    if (!lane->is_lent)
        rusm__ticker_leave(lane);
    body->has_lent_turn = false;
    body->guest.proc = NULL;
    return step;
}

/* ---- unwind ---- */

/* The reason stays the killer's, whatever the guest does with its last resume. */
static rusm_step body_unwind(rusm_proc *self, void *memory) {
    struct rusm__body *body = memory;
    struct rusm__sandbox *sandbox = body->guest.component->sandbox;
    struct rusm__lane *lane = rusm__sandbox_lane(sandbox);
    body->guest.proc = self;
    body->guest.pid = rusm_proc_pid(self);
    announce(body);
    rusm__ticker_enter(&sandbox->ticker, lane);
    body->slice = rusm__ticker_now(&sandbox->ticker);
    bool over =
        body->ended || !body->instance || is_end(stop(body)) || ++body->unwinds > UNWINDS_MAX;
    if (over)
        end(body);
    rusm__ticker_leave(lane);
    body->guest.proc = NULL;
    return over ? RUSM_STEP_EXIT : RUSM_STEP_AGAIN;
}

static void body_drop(void *memory) {
    struct rusm__body *body = memory;
    end(body);
    rusm__sandbox_note_change(body->guest.component->sandbox);
    rusm__component_let_go(body->guest.component);
    rusm__mem_free(body);
}

const rusm_body_ops rusm__guest_ops = {
    .name = "guest",
    .step = body_step,
    .unwind = body_unwind,
    .drop = body_drop,
};

/* ---- lending a turn ---- */

/* It waits in the middle of its life: what begins or ends one needs more stack and more time. */
static bool suits(const void *memory) {
    const struct rusm__body *body = memory;
    return body->instance && !is_end(body->returned) && !body->guest.off_stack &&
           !(body->unit && body->unit->over);
}

/* Not in the middle of a unit, which would pay for the other one's time. */
bool rusm__guest_lend_turn(struct rusm__guest *guest) {
    struct rusm__body *body = rusm__body_of(guest);
    struct rusm__lane *lane = rusm__sandbox_lane(guest->component->sandbox);
    if (lane->is_lent || (body->unit && !guest->has_units))
        return false;
    lane->is_lent = true;
    bool has_run = rusm__proc_run_woken(guest->proc, &rusm__guest_ops, suits);
    lane->is_lent = false;
    lane->lends += has_run;
    return has_run;
}

/* ---- ticks ---- */

enum rusm__tick rusm__guest_tick(struct rusm__guest *guest) {
    struct rusm__body *body = rusm__body_of(guest);
    if (rusm__proc_is_doomed(guest->proc)) {
        guest->trap_text = "ended from outside";
        return RUSM__TICK_STOP;
    }
    /* An epoch that passed while the guest was not running is no tick of this slice. */
    if (rusm__ticker_now(&guest->component->sandbox->ticker) == body->slice)
        return RUSM__TICK_CONTINUE;
    if (body->unit && rusm__unit_tick(body->unit, guest->proc)) {
        guest->trap_text = "its time is up";
        return RUSM__TICK_STOP;
    }
    /* Who lent its turn waits for it to be over. */
    if (guest->blocked || body->has_lent_turn)
        return RUSM__TICK_YIELD;
    return rusm__proc_should_yield(guest->proc) ? RUSM__TICK_YIELD : RUSM__TICK_CONTINUE;
}
