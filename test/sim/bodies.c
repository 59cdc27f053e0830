/* SPDX-License-Identifier: MIT */
/* The two kinds of actors: one that is called step by step, one that waits where it stands. */
#include <stdio.h>

#include "rusm/error.h"

#include "workload.h"
#include "world.h"

void body_drop(void *body) {
    model_actor_dropped(body);
}

static void end_by_itself(struct actor *actor, rusm_proc *self) {
    char text[24];
    actor->causes |= BY_ITSELF;
    snprintf(text, sizeof(text), "end of %u", actor->index);
    if (sim_chance(60)) {
        rusm_proc_set_exit(self, sim_chance(80) ? RUSM_EXIT_CRASHED : RUSM_EXIT_NORMAL, text);
    }
    sim_trace("actor %u ends", actor->index);
}

static void begin(struct actor *actor, rusm_proc *self) {
    actor->started = true;
    if (actor->trap == ALWAYS_TRAPS) {
        rusm_proc_trap_exit(self, true);
    }
}

/* ---- step by step ---- */

static void receive_some(struct actor *actor, rusm_proc *self) {
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        op_handle(actor, self, msg);
    }
}

static void ask_to_be_woken(struct actor *actor, rusm_proc *self) {
    uint64_t when = op_some_time();
    int status = rusm_proc_wake_at(self, when);
    if (status != RUSM_OK && status != RUSM_ENOMEM) {
        sim_fail("wake_at: answer %d", status);
    }
    actor->wake_ns = status == RUSM_OK ? (when ? when : 1) : 0;
}

static rusm_step act(struct actor *actor, rusm_proc *self) {
    receive_some(actor, self);
    op_ask_parked(actor, self);
    for (unsigned ops = sim_below(4); ops > 0 && actor->budget > 0; ops--, actor->budget--) {
        op_anything(actor->index, actor, self);
    }
    if (actor->budget == 0) {
        if (!actor->resting && sim_chance(40)) {
            end_by_itself(actor, self);
            return RUSM_STEP_EXIT;
        }
        actor->resting = true;
        receive_some(actor, self); /* what was unstashed lies in front without being new */
        op_ask_parked(actor, self);
        return RUSM_STEP_WAIT;
    }
    if (sim_chance(30)) {
        return RUSM_STEP_AGAIN;
    }
    ask_to_be_woken(actor, self);
    receive_some(actor, self);
    return RUSM_STEP_WAIT;
}

static rusm_step step(rusm_proc *self, void *body) {
    struct actor *actor = body;
    model_step_begins(actor, self);
    actor->in_step = true;
    begin(actor, self);
    rusm_step result = act(actor, self);
    actor->in_step = false;
    return result;
}

static rusm_step unwind(rusm_proc *self, void *body) {
    struct actor *actor = body;
    actor->pid = rusm_proc_pid(self);
    if (actor->unwinds == 0) {
        return RUSM_STEP_EXIT;
    }
    actor->unwinds--;
    actor->in_step = true;
    op_anything(actor->index, actor, self);
    actor->in_step = false;
    return sim_chance(50) ? RUSM_STEP_AGAIN : RUSM_STEP_WAIT;
}

const rusm_body_ops stepper_ops = {.name = "stepper", .step = step, .drop = body_drop};
const rusm_body_ops winding_ops = {
    .name = "winding", .step = step, .unwind = unwind, .drop = body_drop};

/* ---- where it stands ---- */

static bool is_picked(rusm_msg *msg, void *arg) {
    (void)arg;
    struct text text;
    if (rusm_msg_get_kind(msg) != RUSM_MSG_DATA || rusm_msg_len(msg) < sizeof(text)) {
        return false;
    }
    __builtin_memcpy(&text, rusm_msg_data(msg), sizeof(text));
    return model.mails[text.mail].kind == PICKED;
}

/* False: the fiber is to end. */
static bool take(struct actor *actor, rusm_proc *self, uint64_t deadline_ns, bool only_picked) {
    rusm_msg *msg;
    actor->wake_ns = deadline_ns == RUSM_FOREVER ? 0 : deadline_ns + 1;
    int status = only_picked ? rusm_receive_match(self, is_picked, NULL, deadline_ns, &msg)
                             : rusm_receive(self, deadline_ns, &msg);
    actor->wake_ns = 0;
    if (status == RUSM_OK) {
        if (only_picked && !is_picked(msg, NULL)) {
            sim_fail("actor %u got what it did not ask for", actor->index);
        }
        op_handle(actor, self, msg);
    } else if (status == RUSM_ETIMEDOUT && sim_now() < deadline_ns) {
        sim_fail("actor %u waited too short", actor->index);
    } else if (status != RUSM_ETIMEDOUT && status != RUSM_EEXITING && status != RUSM_ENOMEM) {
        sim_fail("receive: answer %d", status);
    }
    return status != RUSM_EEXITING;
}

static bool rest_a_little(struct actor *actor, rusm_proc *self) {
    uint64_t deadline_ns = op_some_time();
    actor->wake_ns = deadline_ns + 1;
    int status = rusm_sleep_until(self, deadline_ns);
    actor->wake_ns = 0;
    if (status == RUSM_OK && sim_now() < deadline_ns) {
        sim_fail("actor %u slept too short", actor->index);
    }
    return status != RUSM_EEXITING;
}

static bool act_standing(struct actor *actor, rusm_proc *self) {
    switch (sim_below(8)) {
    case 0:
        return take(actor, self, op_some_time(), true);
    case 1:
    case 2:
        return take(actor, self, op_some_time(), false);
    case 3:
        return rest_a_little(actor, self);
    case 4:
        return rusm_yield(self) != RUSM_EEXITING;
    case 5:
        op_call(actor, self);
        return true;
    default:
        op_anything(actor->index, actor, self);
        return true;
    }
}

/* Told to end, some try to go on. */
static void resist(rusm_proc *self) {
    uint32_t tries = sim_chance(20) ? 100 : sim_below(3);
    rusm_msg *msg;
    for (uint32_t i = 0; i < tries; i++) {
        if (rusm_receive(self, RUSM_FOREVER, &msg) != RUSM_EEXITING) {
            sim_fail("a fiber that is to end waits");
        }
    }
}

void fiber_main(rusm_proc *self, void *arg) {
    struct actor *actor = arg;
    actor->pid = rusm_proc_pid(self);
    actor->last_step_ns = sim_now();
    begin(actor, self);
    bool goes_on = true;
    while (goes_on && actor->budget > 0) {
        actor->budget--;
        goes_on = act_standing(actor, self);
    }
    if (goes_on && sim_chance(40)) {
        end_by_itself(actor, self);
        return;
    }
    actor->resting = true;
    while (goes_on) {
        goes_on = take(actor, self, RUSM_FOREVER, false);
    }
    resist(self);
}
