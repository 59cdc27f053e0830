/* SPDX-License-Identifier: MIT */
/* The states of the supervisor, driven by mail and by the clock:
 *
 *             start                DOWN, granted
 *   (first) ---------> UP -------------------------> DOWN --- delay over: start ---> UP
 *      | fails          |                              | fails: as a crash
 *      v                | DOWN, stays down             v
 *   GIVEN_UP          ENDED                        DOWN or GIVEN_UP
 *
 * Each start has a reference of its own, so a DOWN of an earlier child is never taken for the
 * present one's. */
#include "sup/one.h"

#include "rusm/error.h"
#include "rusm/msg.h"
#include "rusm/process.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"

struct one {
    struct rusm__sup_child child;
    struct rusm__sup_policy policy;
    struct rusm__sup_budget budget;
    enum rusm__sup_state state;
    bool begun;           /* the first start was tried */
    uint64_t ref;         /* of the present child */
    rusm_pid pid;         /* of the present child; 0 while there is none */
    uint64_t start_at_ns; /* DOWN: when to start again */
};

static void change(struct one *one, enum rusm__sup_state state, int code) {
    one->state = state;
    if (one->child.changed)
        one->child.changed(one->child.data, state, code);
}

static void log_restart(struct one *one, const char *why, uint64_t delay_ns, uint64_t now_ns) {
    rusm__log(RUSM__LOG_WARN, "rusm", "sup", "%s %s; restart %u of %u in %u s, after %u ms",
              one->child.name, why, rusm__sup_used(&one->policy, &one->budget, now_ns),
              one->policy.max_restarts, (unsigned)(one->policy.window_ns / RUSM__SECOND),
              (unsigned)(delay_ns / RUSM__MS));
}

static void log_give_up(struct one *one, const char *why) {
    rusm__log(RUSM__LOG_ERROR, "rusm", "sup", "%s %s; given up after %u restarts in %u s",
              one->child.name, why, one->policy.max_restarts,
              (unsigned)(one->policy.window_ns / RUSM__SECOND));
}

/* The child is down, or could not be started: what now? */
static void fell(rusm_proc *self, struct one *one, rusm_exit_kind kind, int code) {
    uint64_t now = rusm_now_ns();
    uint64_t delay;
    const char *why = code ? rusm_error_text(code) : rusm_exit_kind_name(kind);
    one->pid = 0;
    switch (rusm__sup_decide(&one->policy, &one->budget, kind, now, &delay)) {
    case RUSM__SUP_DONE:
        change(one, RUSM__SUP_ENDED, code);
        break;
    case RUSM__SUP_GIVE_UP:
        log_give_up(one, why);
        change(one, RUSM__SUP_GIVEN_UP, code);
        break;
    case RUSM__SUP_RESTART:
        log_restart(one, why, delay, now);
        one->start_at_ns = now + delay;
        /* Without memory for a timer there is no back-off: the next step starts it at once. */
        if (rusm_proc_wake_at(self, one->start_at_ns) < 0)
            one->start_at_ns = now;
        change(one, RUSM__SUP_DOWN, code);
        break;
    }
}

static int start(rusm_proc *self, struct one *one) {
    one->ref++;
    int code = one->child.start(one->child.data, rusm_proc_pid(self), one->ref, &one->pid);
    if (code == RUSM_OK)
        change(one, RUSM__SUP_UP, RUSM_OK);
    return code;
}

static void start_first(rusm_proc *self, struct one *one) {
    one->begun = true;
    int code = start(self, one);
    if (code < 0)
        change(one, RUSM__SUP_GIVEN_UP, code);
}

static void start_again(rusm_proc *self, struct one *one) {
    int code = start(self, one);
    if (code < 0)
        fell(self, one, RUSM_EXIT_CRASHED, code);
}

static void take_mail(rusm_proc *self, struct one *one) {
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        bool down = rusm_msg_get_kind(msg) == RUSM_MSG_DOWN && rusm_msg_ref(msg) == one->ref;
        rusm_exit_kind kind = down ? rusm_msg_exit_kind(msg) : RUSM_EXIT_NORMAL;
        rusm_msg_free(msg); /* whatever else somebody sent means nothing to us */
        if (down && one->state == RUSM__SUP_UP)
            fell(self, one, kind, RUSM_OK);
    }
}

static rusm_step one_step(rusm_proc *self, void *body) {
    struct one *one = body;
    if (!one->begun)
        start_first(self, one);
    take_mail(self, one);
    if (one->state == RUSM__SUP_DOWN && rusm_now_ns() >= one->start_at_ns)
        start_again(self, one);
    if (one->state == RUSM__SUP_ENDED)
        return RUSM_STEP_EXIT;
    if (one->state == RUSM__SUP_GIVEN_UP) {
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "the supervisor gave up");
        return RUSM_STEP_EXIT;
    }
    /* A failed start may have been granted a restart without a wait. */
    return one->state == RUSM__SUP_DOWN && rusm_now_ns() >= one->start_at_ns ? RUSM_STEP_AGAIN
                                                                             : RUSM_STEP_WAIT;
}

static rusm_step one_unwind(rusm_proc *self, void *body) {
    struct one *one = body;
    if (one->pid)
        rusm_pid_kill(rusm_proc_runtime(self), one->pid);
    return RUSM_STEP_EXIT;
}

static void one_drop(void *body) {
    rusm__mem_free(body);
}

static const rusm_body_ops one_ops = {
    .name = "supervisor",
    .step = one_step,
    .unwind = one_unwind,
    .drop = one_drop,
};

int rusm__sup_one_start(rusm_runtime *rt, const struct rusm__sup_child *child,
                        const struct rusm__sup_policy *policy, rusm_pid *out_pid) {
    *out_pid = 0;
    if (policy->max_restarts > RUSM__SUP_MAX_RESTARTS)
        return RUSM_EINVAL;
    struct one *one = rusm__mem_try_zalloc(sizeof(*one));
    if (!one)
        return RUSM_ENOMEM;
    one->child = *child;
    one->policy = *policy;
    one->state = RUSM__SUP_DOWN;
    rusm__sup_budget_init(&one->budget, rusm__random_system_u64());
    rusm_spawn_options options = {.size = sizeof(options), .ops = &one_ops, .body = one};
    int code = rusm_proc_spawn(rt, &options, out_pid);
    if (code < 0)
        rusm__mem_free(one);
    return code;
}
