/* SPDX-License-Identifier: MIT */
/* The life of a runtime: options, stopping with thousands alive, several side by side, counters,
 * and look-ups from callbacks of the event loop. Leaks are the leak checker's to find. */
#include "unit/proc/puppet.h"

#include "base/clock.h"
#include "base/mem.h"
#include "proc/proc_impl.h"

/* ---- options ---- */

static void start_refuses_bad_options(void **state) {
    (void)state;
    rusm_runtime *rt = (rusm_runtime *)1;
    rusm_runtime_options options = {.size = 4};
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_EINVAL);
    assert_null(rt);
    options = (rusm_runtime_options){.size = sizeof(options), .schedulers = 251};
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_EINVAL);
    options = (rusm_runtime_options){.size = sizeof(options), .max_processes = (1u << 30) + 1};
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_EINVAL);
}

static void start_with_defaults(void **state) {
    (void)state;
    rusm_runtime *rt;
    assert_int_equal(rusm_runtime_start(NULL, &rt), RUSM_OK);
    assert_true(stats_of(rt).schedulers >= 1);
    assert_int_equal(rusm_runtime_stop(rt), 0);
}

static void start_many_schedulers(void **state) {
    (void)state;
    rusm_runtime *rt = start_runtime(40);
    assert_int_equal(stats_of(rt).schedulers, 40);
    static struct puppet puppets[60];
    for (unsigned i = 0; i < 60; i++) {
        puppet_start(&puppets[i], rt);
    }
    for (unsigned i = 0; i < 60; i++) {
        puppet_settle(&puppets[i]);
    }
    assert_int_equal(rusm_runtime_stop(rt), 60);
}

static void start_fails_without_memory(void **state) {
    (void)state;
    for (size_t nth = 1; nth < 200; nth++) {
        rusm_runtime_options options = {.size = sizeof(options), .schedulers = 2};
        rusm_runtime *rt;
        rusm__mem_fail_nth(nth);
        int status = rusm_runtime_start(&options, &rt);
        rusm__mem_fail_nth(0);
        if (status == RUSM_OK) {
            assert_true(nth > 5); /* all of them were met */
            rusm_runtime_stop(rt);
            return;
        }
        assert_int_equal(status, RUSM_ENOMEM);
        assert_null(rt);
    }
    fail();
}

/* ---- stopping ---- */

enum { THOUSANDS = 5000 };

struct inhabitant {
    rusm_pid neighbour;
    unsigned kind;
};

/* Everything that a process can own: mail, stash, links, monitors, names, tags, timers, a label. */
static rusm_step inhabit(rusm_proc *self, void *body) {
    struct inhabitant *own = body;
    rusm_runtime *rt = rusm_proc_runtime(self);
    char name[32];
    uint64_t ref;
    rusm_timer timer;
    rusm_msg *msg;
    if (own->kind == 0) {
        return RUSM_STEP_AGAIN; /* always busy */
    }
    while ((msg = rusm_proc_receive(self)) != NULL) {
        if (rusm_msg_get_kind(msg) == RUSM_MSG_DATA) {
            rusm_proc_stash(self, msg);
        } else {
            rusm_msg_free(msg);
        }
    }
    if (own->kind == 9) {
        return RUSM_STEP_WAIT;
    }
    int len = snprintf(name, sizeof(name), "i%llu", (unsigned long long)rusm_proc_pid(self));
    rusm_proc_trap_exit(self, own->kind % 2);
    bool ok = rusm_proc_register(self, name, (size_t)len) == RUSM_OK &&
              rusm_proc_join(self, "inhabitants", 11) == RUSM_OK &&
              rusm_proc_set_label(self, name, (size_t)len) == RUSM_OK &&
              rusm_proc_wake_at(self, rusm_now_ns() + 3600 * RUSM__SECOND) == RUSM_OK &&
              rusm_proc_monitor(self, own->neighbour, &ref) == RUSM_OK &&
              rusm_proc_link(self, own->neighbour) == RUSM_OK &&
              rusm_timer_send(rt, rusm_now_ns() + 3600 * RUSM__SECOND, own->neighbour,
                              new_msg("timer"), &timer) == RUSM_OK;
    own->kind = 9;
    if (send_text(rt, own->neighbour, "hello") != RUSM_OK || !ok) {
        rusm_proc_set_exit(self, RUSM_EXIT_NORMAL, "refused");
    }
    return RUSM_STEP_WAIT;
}

static void free_inhabitant(void *body) {
    free(body);
}

static const rusm_body_ops inhabitant_ops = {
    .name = "inhabitant", .step = inhabit, .drop = free_inhabitant};

static void populate(rusm_runtime *rt, unsigned count) {
    rusm_pid last = 0;
    for (unsigned i = 0; i < count; i++) {
        struct inhabitant *body = malloc(sizeof(*body));
        *body = (struct inhabitant){.neighbour = last, .kind = i % 100 == 0 ? 0 : 1 + i % 2};
        body->kind = last ? body->kind : 9;
        rusm_spawn_options options = {
            .size = sizeof(options), .ops = &inhabitant_ops, .body = body, .label = "born"};
        assert_int_equal(rusm_proc_spawn(rt, &options, &last), RUSM_OK);
    }
}

static void stop_with_thousands_alive(void **state) {
    (void)state;
    for (unsigned settled = 0; settled < 3; settled++) {
        rusm_runtime *rt = start_runtime(2);
        populate(rt, THOUSANDS);
        if (settled > 0) {
            nap_ms(settled * 50); /* amid the bustle, and later */
        }
        assert_int_equal(rusm_runtime_process_count(rt), THOUSANDS);
        assert_int_equal(rusm_runtime_stop(rt), THOUSANDS);
    }
}

/* Processes that start others while the runtime stops: none gets away. */
static rusm_step breed(rusm_proc *self, void *body) {
    static const rusm_body_ops ops = {.name = "breeder", .step = breed};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = body};
    rusm_pid pid;
    int status = rusm_proc_spawn(rusm_proc_runtime(self), &options, &pid);
    if (status != RUSM_OK && status != RUSM_EPROCS && status != RUSM_ESTATE) {
        atomic_fetch_add((_Atomic unsigned *)body, 1);
    }
    return RUSM_STEP_AGAIN;
}

static void stop_while_processes_breed(void **state) {
    static const rusm_body_ops ops = {.name = "breeder", .step = breed};
    static _Atomic unsigned surprises;
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        rusm_runtime_options options = {
            .size = sizeof(options), .schedulers = 2, .max_processes = 3000};
        rusm_runtime *rt;
        rusm_pid pid;
        assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_OK);
        rusm_spawn_options first = {.size = sizeof(first), .ops = &ops, .body = &surprises};
        assert_int_equal(rusm_proc_spawn(rt, &first, &pid), RUSM_OK);
        nap_ms(i);
        rusm_runtime_stop(rt);
    }
    assert_int_equal(atomic_load(&surprises), 0);
}

/* A body that winds down slowly still sees the runtime alive; spawning is over by then. */
struct slow {
    _Atomic unsigned turns;
    _Atomic int spawn_status;
};

static rusm_step wait_for_ever(rusm_proc *self, void *body) {
    (void)self;
    (void)body;
    return RUSM_STEP_WAIT;
}

static rusm_step wind_down(rusm_proc *self, void *body) {
    struct slow *slow = body;
    rusm_spawn_options options = {.size = sizeof(options), .ops = &inhabitant_ops};
    rusm_pid pid = 77;
    atomic_store(&slow->spawn_status, rusm_proc_spawn(rusm_proc_runtime(self), &options, &pid));
    return atomic_fetch_add(&slow->turns, 1) < 1000 ? RUSM_STEP_AGAIN : RUSM_STEP_EXIT;
}

static void stop_refuses_new_processes(void **state) {
    static const rusm_body_ops ops = {.name = "slow", .step = wait_for_ever, .unwind = wind_down};
    static struct slow slow;
    (void)state;
    rusm_runtime *rt = start_runtime(2);
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = &slow};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    assert_int_equal(rusm_runtime_stop(rt), 1);
    assert_int_equal(atomic_load(&slow.turns), 1001);
    assert_int_equal(atomic_load(&slow.spawn_status), RUSM_ESTATE);
}

/* ---- several ---- */

struct crossing {
    rusm_runtime *other;
    rusm_pid to;
    const char *text;
    int status;
    bool alive;
    rusm_timer timer;
};

static rusm_step send_across(rusm_proc *self, void *arg) {
    struct crossing *crossing = arg;
    (void)self;
    crossing->alive = rusm_pid_is_alive(crossing->other, crossing->to);
    crossing->status = send_text(crossing->other, crossing->to, crossing->text);
    if (crossing->status == RUSM_OK) {
        crossing->status = rusm_timer_send(crossing->other, 0, crossing->to, new_msg("by timer"),
                                           &crossing->timer);
    }
    return RUSM_STEP_WAIT;
}

static void runtimes_live_side_by_side(void **state) {
    (void)state;
    rusm_runtime *one = start_runtime(2), *two = start_runtime(1);
    static struct puppet a, b;
    puppet_start(&a, one);
    puppet_start(&b, two);
    assert_int_equal(puppet_register(&a, "same name"), RUSM_OK);
    assert_int_equal(puppet_register(&b, "same name"), RUSM_OK);
    assert_true(whereis(one, "same name") == a.pid);
    assert_true(whereis(two, "same name") == b.pid);
    /* A process of one is a plain thread to the other. */
    struct crossing crossing = {.other = two, .to = b.pid, .text = "hello over there"};
    puppet_do(&a, send_across, &crossing);
    assert_int_equal(crossing.status, RUSM_OK);
    assert_true(crossing.alive);
    assert_string_equal(puppet_wait_mail(&b, 0).text, "hello over there");
    assert_string_equal(puppet_wait_mail(&b, 1).text, "by timer");
    assert_true(b.mail[0].from == 0);
    assert_int_equal(rusm_runtime_stop(two), 1);
    puppet_settle(&a); /* the other one never noticed */
    assert_int_equal(rusm_runtime_stop(one), 1);
}

static void *start_and_stop(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < 20; i++) {
        rusm_runtime *rt = start_runtime(2);
        struct puppet puppet; /* several threads; its runtime is stopped here */
        puppet_start(&puppet, rt);
        rusm_runtime_stop(rt);
    }
    return NULL;
}

static void runtimes_come_and_go(void **state) {
    pthread_t threads[3];
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, start_and_stop, NULL), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* ---- counters ---- */

static void stats_count(void **state) {
    (void)state;
    rusm_runtime *rt = start_runtime(2);
    rusm_runtime_stats stats = {.size = 1};
    assert_int_equal(rusm_runtime_get_stats(rt, &stats), RUSM_EINVAL);
    assert_int_equal(rusm_runtime_get_stats(rt, NULL), RUSM_EINVAL);
    static struct puppet a, b;
    puppet_start(&a, rt);
    puppet_prepare(&b, rt);
    rusm_spawn_options options = puppet_options(&b);
    options.first = new_msg("counts as sent");
    options.mailbox_bytes = 200;
    assert_int_equal(rusm_proc_spawn(rt, &options, &b.pid), RUSM_OK);
    char text[300] = {0};
    memset(text, 'x', 299);
    assert_int_equal(send_text(rt, b.pid, text), RUSM_ETOOBIG);
    puppet_wait_mail(&b, 0);
    assert_int_equal(send_text(rt, a.pid, "one"), RUSM_OK);
    puppet_wait_mail(&a, 0);
    puppet_end_with(&a, RUSM_EXIT_NORMAL, NULL);
    WAIT_FOR(stats_of(rt).exited == 1);
    stats = stats_of(rt);
    assert_int_equal(stats.spawned, 2);
    assert_int_equal(stats.sent, 3); /* the order to end was one */
    assert_int_equal(stats.refused, 1);
    assert_int_equal(stats.dropped, 0);
    assert_int_equal(rusm_runtime_process_count(rt), 1);
    assert_int_equal(rusm_runtime_stop(rt), 1);
}

/* ---- callbacks of the event loop ---- */

/* They begin while their scheduler counts as asleep, that is, as reading nothing. A look-up from
 * there must make it a reader first, or what it finds can be freed under its hands. */
struct callback {
    rusm_runtime *rt;
    uv_async_t async;
    rusm_pid pid;
    _Atomic unsigned calls, unprotected, closed;
    _Atomic bool ready;
};

static void on_async(uv_async_t *async) {
    struct callback *self = async->data;
    bool alive = rusm_pid_is_alive(self->rt, self->pid);
    if (!alive || !rusm__qs_is_online(rusm__sched_qs(rusm__sched_current()))) {
        atomic_fetch_add(&self->unprotected, 1);
    }
    atomic_fetch_add(&self->calls, 1);
}

static void open_async(void *arg) {
    struct callback *self = arg;
    self->async.data = self;
    if (uv_async_init(rusm__sched_loop(rusm__sched_current()), &self->async, on_async) == 0) {
        atomic_store(&self->ready, true);
    }
}

static void on_async_closed(uv_handle_t *handle) {
    atomic_store(&((struct callback *)handle->data)->closed, 1);
}

static void close_async(void *arg) {
    uv_close((uv_handle_t *)&((struct callback *)arg)->async, on_async_closed);
}

static void callbacks_read_as_members(void **state) {
    static struct callback self;
    (void)state;
    rusm_runtime *rt = start_runtime(1);
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    self = (struct callback){.rt = rt, .pid = puppet.pid};
    assert_int_equal(rusm__sched_post(rt, 0, open_async, &self), RUSM_OK);
    WAIT_FOR(atomic_load(&self.ready));
    for (unsigned i = 1; i <= 100; i++) {
        uint64_t sleeps = stats_of(rt).sleeps;
        WAIT_FOR(stats_of(rt).sleeps == sleeps); /* mostly asleep by now; either way is legal */
        assert_int_equal(uv_async_send(&self.async), 0);
        WAIT_FOR(atomic_load(&self.calls) >= i);
    }
    assert_int_equal(atomic_load(&self.unprotected), 0);
    assert_int_equal(rusm__sched_post(rt, 0, close_async, &self), RUSM_OK);
    WAIT_FOR(atomic_load(&self.closed));
    assert_int_equal(rusm_runtime_stop(rt), 1);
}

/* ---- stopping with grace ---- */

struct careful {
    bool traps;
    bool ends; /* when it is told */
    rusm_pid partner;
    _Atomic bool ready;
    _Atomic bool told;
    _Atomic bool partner_was_there;
    _Atomic bool could_spawn;
    _Atomic bool dropped;
    uint32_t flags;
    _Atomic unsigned told_at, dropped_at; /* by a clock of such events, from 1 */
};

static _Atomic unsigned careful_clock;

static rusm_step be_careful(rusm_proc *self, void *body) {
    struct careful *own = body;
    rusm_runtime *rt = rusm_proc_runtime(self);
    rusm_proc_trap_exit(self, own->traps);
    atomic_store(&own->ready, true);
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        if (rusm_msg_get_kind(msg) == RUSM_MSG_EXIT && rusm_msg_from(msg) == 0 &&
            strcmp((char *)rusm_msg_data(msg), "shutdown") == 0) {
            rusm_spawn_options options = {.size = sizeof(options), .ops = &puppet_ops};
            rusm_pid pid;
            atomic_store(&own->could_spawn, rusm_proc_spawn(rt, &options, &pid) != RUSM_ESTATE);
            atomic_store(&own->partner_was_there, rusm_pid_is_alive(rt, own->partner));
            atomic_store(&own->told_at, atomic_fetch_add(&careful_clock, 1) + 1);
            atomic_store(&own->told, true);
        }
        rusm_msg_free(msg);
    }
    return atomic_load(&own->told) && own->ends ? RUSM_STEP_EXIT : RUSM_STEP_WAIT;
}

static void note_drop(void *body) {
    struct careful *own = body;
    atomic_store(&own->dropped_at, atomic_fetch_add(&careful_clock, 1) + 1);
    atomic_store(&own->dropped, true);
}

static rusm_pid start_careful(rusm_runtime *rt, struct careful *body) {
    static const rusm_body_ops ops = {.name = "careful", .step = be_careful, .drop = note_drop};
    rusm_spawn_options options = {
        .size = sizeof(options), .ops = &ops, .body = body, .flags = body->flags};
    rusm_pid pid;
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(atomic_load(&body->ready));
    return pid;
}

static void stop_within_lets_them_wind_up(void **state) {
    (void)state;
    rusm_runtime *rt = start_runtime(2);
    struct careful plain = {0}, trapping[100] = {{0}};
    rusm_pid partner = start_careful(rt, &plain);
    for (unsigned i = 0; i < 100; i++) {
        trapping[i] = (struct careful){.traps = true, .ends = true, .partner = partner};
        start_careful(rt, &trapping[i]);
    }
    size_t killed = 0;
    /* An hour: nobody waits for it when all have ended. */
    assert_int_equal(rusm_runtime_stop_within(rt, 3600 * RUSM__SECOND, &killed), RUSM_OK);
    assert_int_equal(killed, 1);
    assert_true(atomic_load(&plain.dropped) && !atomic_load(&plain.told));
    for (unsigned i = 0; i < 100; i++) {
        assert_true(atomic_load(&trapping[i].told) && atomic_load(&trapping[i].dropped));
        assert_true(atomic_load(&trapping[i].partner_was_there)); /* the others go on meanwhile */
        assert_false(atomic_load(&trapping[i].could_spawn));
    }
}

static void stop_within_ends_with_the_grace(void **state) {
    (void)state;
    rusm_runtime *rt = start_runtime(2);
    struct careful stubborn = {.traps = true}, obedient = {.traps = true, .ends = true};
    start_careful(rt, &stubborn);
    start_careful(rt, &obedient);
    size_t killed = 0;
    uint64_t begin = rusm_now_ns();
    /* Long enough that everybody gets the processor once, on a busy machine too. */
    assert_int_equal(rusm_runtime_stop_within(rt, RUSM__SECOND, &killed), RUSM_OK);
    assert_true(rusm_now_ns() - begin >= RUSM__SECOND);
    assert_true(killed >= 1);
    assert_true(atomic_load(&stubborn.told) && atomic_load(&stubborn.dropped));
    assert_true(atomic_load(&obedient.dropped));
    rt = start_runtime(1); /* nobody to tell, and nobody at all */
    assert_int_equal(rusm_runtime_stop_within(rt, 3600 * RUSM__SECOND, NULL), RUSM_OK);
}

static void stop_within_tells_in_turns(void **state) {
    static const uint32_t flags[] = {RUSM_SPAWN_STOP_LATE,
                                     RUSM_SPAWN_STOP_EARLY | RUSM_SPAWN_STOP_LATE, 0,
                                     RUSM_SPAWN_STOP_EARLY};
    (void)state;
    rusm_runtime *rt = start_runtime(2);
    struct careful bodies[4] = {{0}};
    for (unsigned i = 0; i < 4; i++) {
        bodies[i] = (struct careful){.traps = true, .ends = true, .flags = flags[i]};
        start_careful(rt, &bodies[i]);
    }
    size_t killed = 99;
    assert_int_equal(rusm_runtime_stop_within(rt, 3600 * RUSM__SECOND, &killed), RUSM_OK);
    assert_int_equal(killed, 0);
    assert_true(bodies[3].dropped_at < bodies[2].told_at);
    assert_true(bodies[2].dropped_at < bodies[1].told_at);
    assert_true(bodies[2].dropped_at < bodies[0].told_at);
    /* Who does not end takes the time of those after it. */
    rt = start_runtime(2);
    struct careful stubborn = {.traps = true, .flags = RUSM_SPAWN_STOP_EARLY};
    struct careful late = {.traps = true, .ends = true};
    start_careful(rt, &stubborn);
    start_careful(rt, &late);
    assert_int_equal(rusm_runtime_stop_within(rt, RUSM__SECOND, &killed), RUSM_OK);
    assert_int_equal(killed, 2);
    assert_true(stubborn.told && !late.told && late.dropped);
}

/* ---- who is asking ---- */

struct place_of_call {
    bool is_scheduler;
    rusm_pid self, elsewhere;
    const rusm_runtime *other;
};

static rusm_step note_place_of_call(rusm_proc *self, void *arg) {
    struct place_of_call *place = arg;
    place->is_scheduler = rusm_runtime_is_scheduler();
    place->self = rusm_pid_self(rusm_proc_runtime(self));
    place->elsewhere = rusm_pid_self(place->other);
    return RUSM_STEP_WAIT;
}

static void threads_know_what_they_are(void **state) {
    (void)state;
    static struct puppet puppet;
    rusm_runtime *rt = start_runtime(1), *other = start_runtime(1);
    struct place_of_call place = {.elsewhere = 1, .other = other};
    puppet_start(&puppet, rt);
    puppet_do(&puppet, note_place_of_call, &place);
    assert_true(place.is_scheduler && place.self == puppet.pid && place.elsewhere == 0);
    assert_false(rusm_runtime_is_scheduler());
    assert_true(rusm_pid_self(rt) == 0);
    assert_int_equal(rusm_runtime_stop(rt), 1);
    rusm_runtime_stop(other);
}

static rusm_step stop_own(rusm_proc *self, void *arg) {
    *(int *)arg = rusm_runtime_stop_within(rusm_proc_runtime(self), 1, NULL);
    return RUSM_STEP_WAIT;
}

static void stop_within_is_not_for_processes(void **state) {
    (void)state;
    rusm_runtime *rt = start_runtime(1);
    static struct puppet puppet;
    int status = 0;
    puppet_start(&puppet, rt);
    puppet_do(&puppet, stop_own, &status);
    assert_int_equal(status, RUSM_ESTATE);
    assert_int_equal(rusm_runtime_stop(rt), 1);
}

static void stop_within_bears_a_shortage(void **state) {
    (void)state;
    for (size_t nth = 1; nth <= 4; nth++) {
        rusm_runtime *rt = start_runtime(1);
        struct careful body = {.traps = true, .ends = true};
        start_careful(rt, &body);
        rusm__mem_fail_nth(nth);
        assert_int_equal(rusm_runtime_stop_within(rt, 3600 * RUSM__SECOND, NULL), RUSM_OK);
        rusm__mem_fail_nth(0);
        assert_true(atomic_load(&body.dropped)); /* untold, if it had to be */
        assert_true(atomic_load(&body.told) || nth <= 3);
    }
}

/* ---- bad use ---- */

static void start_refuses_large_bounds(void **state) {
    (void)state;
    rusm_runtime *rt;
    rusm_runtime_options options = {.size = sizeof(options), .schedulers = 1};
    options.mailbox_messages = RUSM_MAILBOX_MAX_MESSAGES + 1;
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_EINVAL);
    options.mailbox_messages = RUSM_MAILBOX_MAX_MESSAGES;
    options.mailbox_bytes = RUSM_MAILBOX_MAX_BYTES + 1;
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_EINVAL);
    assert_null(rt);
    options.mailbox_bytes = RUSM_MAILBOX_MAX_BYTES;
    assert_int_equal(rusm_runtime_start(&options, &rt), RUSM_OK);
    assert_int_equal(rusm_runtime_stop(rt), 0);
}

static rusm_step stop_own_runtime(rusm_proc *self, void *arg) {
    *(int *)arg = rusm_runtime_stop(rusm_proc_runtime(self));
    return RUSM_STEP_WAIT;
}

static void stop_is_not_for_processes(void **state) {
    (void)state;
    rusm_runtime *rt = start_runtime(1);
    static struct puppet puppet;
    int status = 1;
    puppet_start(&puppet, rt);
    puppet_do(&puppet, stop_own_runtime, &status);
    assert_int_equal(status, RUSM_ESTATE);
    puppet_settle(&puppet); /* all goes on */
    assert_int_equal(rusm_runtime_stop(rt), 1);
    assert_int_equal(rusm_runtime_stop(NULL), RUSM_EINVAL);
    assert_int_equal(rusm_runtime_stop_within(NULL, 1, NULL), RUSM_EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_refuses_bad_options),
        cmocka_unit_test(start_with_defaults),
        cmocka_unit_test(start_many_schedulers),
        cmocka_unit_test(start_fails_without_memory),
        cmocka_unit_test(stop_with_thousands_alive),
        cmocka_unit_test(stop_while_processes_breed),
        cmocka_unit_test(stop_refuses_new_processes),
        cmocka_unit_test(runtimes_live_side_by_side),
        cmocka_unit_test(runtimes_come_and_go),
        cmocka_unit_test(stats_count),
        cmocka_unit_test(callbacks_read_as_members),
        cmocka_unit_test(stop_within_lets_them_wind_up),
        cmocka_unit_test(stop_within_ends_with_the_grace),
        cmocka_unit_test(stop_within_tells_in_turns),
        cmocka_unit_test(threads_know_what_they_are),
        cmocka_unit_test(stop_within_is_not_for_processes),
        cmocka_unit_test(stop_within_bears_a_shortage),
        cmocka_unit_test(start_refuses_large_bounds),
        cmocka_unit_test(stop_is_not_for_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
