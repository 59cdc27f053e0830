/* SPDX-License-Identifier: MIT */
/* Several children: who is to be stopped and started next, and what to wait for.
 *
 * Three things can be under way, and they go on side by side:
 *   - single restarts: children that WAIT for their time;
 *   - a group restart (one-for-all, rest-for-one, and the first start): the marked children are
 *     stopped from right to left, one after another; once all are down and the delay is over they
 *     are started from left to right, and each loses its mark. A fall meanwhile marks more of them
 *     and begins anew, charged like any other;
 *   - the end of the supervisor, which takes the place of both. */
#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

#include "sup/sup_impl.h"

enum { STARTS_PER_STEP = 64 };

/* ---- falls ---- */

/* It is down for good. */
static void rest(rusm_supervisor *sup, struct rusm__child *child) {
    rusm__child_set(sup, child, RUSM_CHILD_DOWN, 0);
    if (child->restart == RUSM_RESTART_TEMPORARY)
        rusm__child_forget(sup, child);
}

static void mark_from(rusm_supervisor *sup, struct rusm__list *node) {
    for (; node != &sup->children; node = node->next)
        rusm__child_group(sup, rusm__child_at(node), true);
    sup->cursor = sup->children.prev;
}

static void begin_group(rusm_supervisor *sup, struct rusm__list *from, uint64_t at_ns) {
    mark_from(sup, from);
    sup->group_at_ns = at_ns;
}

static void give_up(rusm_supervisor *sup, struct rusm__child *child, const struct rusm__why *why) {
    char text[400];
    snprintf(text, sizeof(text), "gave up: `%s` fell too often", child->id);
    rusm__say_give_up(sup, child, why);
    rusm__child_set(sup, child, RUSM_CHILD_DOWN, 0);
    rusm__plan_end(sup, RUSM_EXIT_CRASHED, text);
}

static void restart(rusm_supervisor *sup, struct rusm__child *child, enum rusm__verdict verdict,
                    const struct rusm__why *why, uint64_t now_ns) {
    uint64_t delay =
        rusm__backoff_delay(&child->backoff, child->streak, rusm__random_u64(&sup->random));
    child->streak += child->streak < UINT32_MAX;
    rusm__say_restart(sup, child, why, delay);
    if (verdict == RUSM__RESTART_ONE) {
        rusm__child_set(sup, child, RUSM_CHILD_WAITING, now_ns + delay);
        return;
    }
    rusm__child_set(sup, child, RUSM_CHILD_DOWN, 0);
    begin_group(sup, verdict == RUSM__RESTART_ALL ? sup->children.next : &child->order,
                now_ns + delay);
}

/* The child ended by itself, or could not be started. */
static void fall(rusm_supervisor *sup, struct rusm__child *child, const struct rusm__why *why) {
    struct rusm__fall what = {.strategy = sup->strategy,
                              .restart = child->restart,
                              .kind = why->kind,
                              .now_ns = rusm_now_ns(),
                              .own = child->own,
                              .shared = sup->budget};
    enum rusm__verdict verdict = rusm__restart_decide(&what);
    switch (verdict) {
    case RUSM__STAYS_DOWN:
        rest(sup, child);
        break;
    case RUSM__GIVE_UP_ONE:
        rusm__say_give_up(sup, child, why);
        rusm__child_set(sup, child, RUSM_CHILD_GIVEN_UP, 0);
        break;
    case RUSM__GIVE_UP:
        give_up(sup, child, why);
        break;
    case RUSM__RESTART_ONE:
    case RUSM__RESTART_ALL:
    case RUSM__RESTART_REST:
        restart(sup, child, verdict, why, what.now_ns);
        break;
    }
}

void rusm__plan_down(rusm_supervisor *sup, struct rusm__child *child, rusm_msg *down) {
    bool expected = sup->ending.begun || child->in_group || child->state == RUSM_CHILD_STOPPING;
    struct rusm__why why = {.kind = rusm_msg_exit_kind(down),
                            .text = (const char *)rusm_msg_data(down),
                            .len = rusm_msg_len(down)};
    bool terminated = sup->terminating == child;
    if (child->state == RUSM_CHILD_UP &&
        rusm__backoff_is_over(&child->backoff, rusm_now_ns() - child->at_ns))
        child->streak = 0;
    if (expected)
        rest(sup, child);
    else
        fall(sup, child, &why);
    if (terminated)
        rusm__request_terminated(sup);
}

/* ---- stopping from right to left ---- */

static bool is_meant(const rusm_supervisor *sup, const struct rusm__child *child) {
    return sup->ending.begun || child->in_group;
}

/* Moves the cursor over what is down. True: nothing that is meant is alive. */
static bool stop_next(rusm_supervisor *sup, uint64_t now_ns) {
    for (; sup->cursor != &sup->children; sup->cursor = sup->cursor->prev) {
        struct rusm__child *child = rusm__child_at(sup->cursor);
        if (!rusm__child_is_alive(child) || !is_meant(sup, child))
            continue;
        if (child->state == RUSM_CHILD_UP)
            rusm__child_stop(sup, child, now_ns);
        return false;
    }
    return true;
}

void rusm__plan_end(rusm_supervisor *sup, rusm_exit_kind kind, const char *text) {
    if (sup->ending.begun)
        return;
    sup->ending.begun = true;
    sup->ending.kind = kind;
    snprintf(sup->ending.text, sizeof(sup->ending.text), "%s", text);
    sup->cursor = sup->children.prev;
}

/* ---- starting from left to right ---- */

void rusm__plan_first(rusm_supervisor *sup) {
    begin_group(sup, sup->children.next, 0);
    sup->started = !sup->group;
}

static void fail_first(rusm_supervisor *sup, struct rusm__child *child, int code) {
    char text[400];
    snprintf(text, sizeof(text), "could not start `%s`: %s", child->id, rusm_error_text(code));
    rusm__say_no_start(sup, child, code);
    pthread_mutex_lock(&sup->lock);
    sup->start_code = code;
    pthread_mutex_unlock(&sup->lock);
    rusm__plan_end(sup, RUSM_EXIT_CRASHED, text);
}

/* False: it did not start, and what follows from that was planned. */
static bool start(rusm_supervisor *sup, struct rusm__child *child) {
    int code = rusm__child_start(sup, child);
    if (code == RUSM_OK) {
        rusm__child_group(sup, child, false);
        return true;
    }
    if (sup->started)
        fall(sup, child, &(struct rusm__why){.kind = RUSM_EXIT_CRASHED, .code = code});
    else
        fail_first(sup, child, code);
    return false;
}

static void start_group(rusm_supervisor *sup) {
    struct rusm__list *node = sup->children.next;
    for (unsigned budget = STARTS_PER_STEP; budget && node != &sup->children; node = node->next) {
        struct rusm__child *child = rusm__child_at(node);
        if (!child->in_group)
            continue;
        if (!start(sup, child))
            return; /* the list may have changed, and who is to be started too */
        budget--;
    }
    if (!sup->group)
        sup->started = true;
}

/* One that fails is not tried again before the next step, even without a delay, so that a start
 * function that always fails does not keep the scheduler. */
static void start_waiting(rusm_supervisor *sup, uint64_t now_ns) {
    struct rusm__list *next;
    for (struct rusm__list *node = sup->children.next; node != &sup->children; node = next) {
        struct rusm__child *child = rusm__child_at(node);
        next = node->next;
        if (child->state == RUSM_CHILD_WAITING && child->at_ns <= now_ns)
            start(sup, child);
        if (!sup->waiting || sup->ending.begun)
            return;
    }
}

/* ---- what to wait for ---- */

static void press(rusm_supervisor *sup, uint64_t now_ns) {
    rusm__list_each(node, &sup->children) {
        struct rusm__child *child = rusm__child_at(node);
        if (child->state == RUSM_CHILD_STOPPING)
            rusm__child_press(sup, child, now_ns);
    }
}

/* 0: a child could not be asked yet, for want of memory. */
static uint64_t next_time(const rusm_supervisor *sup) {
    uint64_t at = UINT64_MAX;
    if (!sup->waiting && !sup->stopping)
        return at;
    rusm__list_each(node, &sup->children) {
        const struct rusm__child *child = rusm__child_at(node);
        bool stopping = child->state == RUSM_CHILD_STOPPING;
        if (stopping && !child->asked)
            return 0;
        if ((stopping || child->state == RUSM_CHILD_WAITING) && child->at_ns < at)
            at = child->at_ns;
    }
    return at;
}

static rusm_step go_on_ending(rusm_supervisor *sup, uint64_t now_ns, uint64_t *out_wake_ns) {
    if (stop_next(sup, now_ns))
        return RUSM_STEP_EXIT;
    *out_wake_ns = next_time(sup);
    return RUSM_STEP_WAIT;
}

/* Returns when the group goes on, UINT64_MAX when that is not a matter of time. */
static uint64_t go_on_group(rusm_supervisor *sup, uint64_t now_ns) {
    if (!sup->group || !stop_next(sup, now_ns))
        return UINT64_MAX;
    if (now_ns < sup->group_at_ns)
        return sup->group_at_ns;
    start_group(sup);
    return sup->group ? now_ns : UINT64_MAX; /* more to start, or to stop again */
}

rusm_step rusm__plan_go_on(rusm_supervisor *sup, uint64_t now_ns, uint64_t *out_wake_ns) {
    if (sup->stopping)
        press(sup, now_ns);
    if (sup->ending.begun)
        return go_on_ending(sup, now_ns, out_wake_ns);
    uint64_t group_ns = go_on_group(sup, now_ns);
    if (sup->waiting && !sup->ending.begun)
        start_waiting(sup, now_ns);
    if (sup->ending.begun)
        return RUSM_STEP_AGAIN;
    *out_wake_ns = next_time(sup);
    if (group_ns < *out_wake_ns)
        *out_wake_ns = group_ns;
    return RUSM_STEP_WAIT;
}
