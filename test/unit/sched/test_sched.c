/* SPDX-License-Identifier: MIT */
/* Schedulers with tasks of our own: work gets to them, turns are fair, sleepers wake. Fairness is
 * counted in runs, never in time; waiting ends with the condition or with a hang. Jobs are static,
 * so that a failed test leaves nothing dangling before its schedulers have stopped. */
#include "sched/sched.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "sched/run_queue.h"
#include "sched/runtime.h"
#include "sync/cacheline.h"

enum { PATIENCE_S = 60 };

#include "wait.h"

struct job {
    struct rusm__task task; /* first */
    void (*run)(struct rusm__sched *sched, struct job *self);
    struct job *partner;
    _Atomic uint64_t runs;
    _Atomic uint32_t ran_on; /* a bit per scheduler */
    void *data;
};

static rusm_runtime *rt;
static _Atomic uint64_t all_ready;
static _Atomic uint64_t all_runs;
static _Atomic uint64_t all_ended;
static _Atomic bool over; /* jobs that queue themselves stop */

/* Counted first, so that as many runs as readies means that nothing is queued or runs. */
static void ready(struct rusm__task *task, enum rusm__ready how) {
    atomic_fetch_add(&all_ready, 1);
    rusm__sched_ready(rt, task, how);
}

static void run_job(struct rusm__sched *sched, struct rusm__task *task) {
    struct job *job = (struct job *)task;
    atomic_fetch_or(&job->ran_on, 1u << rusm__sched_index(sched));
    atomic_fetch_add(&all_runs, 1);
    atomic_fetch_add(&job->runs, 1);
    job->run(sched, job);
    atomic_fetch_add(&all_ended, 1);
}

/* ---- life ---- */

static _Atomic unsigned timers_fired;

static void on_timer(struct rusm__sched *sched, struct rusm__wheel_node *node) {
    (void)sched;
    (void)node;
    atomic_fetch_add(&timers_fired, 1);
}

static int start(uint32_t count) {
    static const struct rusm__sched_hooks hooks = {.run = run_job, .timer = on_timer};
    static char locals[8];
    void *pointers[8];
    for (unsigned i = 0; i < count; i++) {
        pointers[i] = &locals[i];
    }
    atomic_store(&all_ready, 0);
    atomic_store(&all_runs, 0);
    atomic_store(&all_ended, 0);
    atomic_store(&over, false);
    atomic_store(&timers_fired, 0);
    rt = rusm__mem_try_zalloc_aligned(sizeof(*rt), RUSM__CACHELINE);
    return rusm__scheds_start(rt, count, &hooks, pointers);
}

static int start_one(void **state) {
    (void)state;
    return start(1);
}

static int start_two(void **state) {
    (void)state;
    return start(2);
}

static int start_four(void **state) {
    (void)state;
    return start(4);
}

static int stop(void **state) {
    (void)state;
    rusm__scheds_stop(rt);
    rusm__mem_free(rt);
    return 0;
}

/* ---- work arrives ---- */

static void do_nothing(struct rusm__sched *sched, struct job *self) {
    (void)sched;
    (void)self;
}

static void sched_runs_what_plain_threads_send(void **state) {
    enum { JOBS = 3000 };
    (void)state;
    struct job *jobs = calloc(JOBS, sizeof(*jobs));
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i].run = do_nothing;
        ready(&jobs[i].task, RUSM__READY_WAKE);
    }
    WAIT_FOR(atomic_load(&all_ended) == JOBS);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(atomic_load(&jobs[i].runs), 1);
    }
    free(jobs);
}

static void queue_self(struct rusm__sched *sched, struct job *self) {
    (void)sched;
    if (atomic_load(&self->runs) < 500) {
        ready(&self->task, RUSM__READY_TAIL);
    }
}

static void sched_pinned_tasks_stay_at_home(void **state) {
    (void)state;
    static struct job jobs[8];
    for (unsigned i = 0; i < 8; i++) {
        jobs[i].run = queue_self;
        jobs[i].task.pinned = true;
        jobs[i].task.home = (uint16_t)(i % 2);
        ready(&jobs[i].task, RUSM__READY_TAIL);
    }
    for (unsigned i = 0; i < 8; i++) {
        WAIT_FOR(atomic_load(&jobs[i].runs) == 500);
        assert_int_equal(atomic_load(&jobs[i].ran_on), 1u << i % 2);
    }
}

/* Woken by a task on the other scheduler, a pinned task still runs at home. */
static void wake_partner(struct rusm__sched *sched, struct job *self) {
    (void)sched;
    if (self->partner && atomic_load(&self->runs) < 500) {
        ready(&self->partner->task, RUSM__READY_WAKE);
    }
}

static void sched_pinned_pair_across_schedulers(void **state) {
    (void)state;
    static struct job a = {.run = wake_partner, .task = {.pinned = true, .home = 0}};
    static struct job b = {.run = wake_partner, .task = {.pinned = true, .home = 1}};
    a.partner = &b;
    b.partner = &a;
    ready(&a.task, RUSM__READY_WAKE);
    WAIT_FOR(atomic_load(&a.runs) == 500);
    assert_int_equal(atomic_load(&a.ran_on), 1);
    assert_int_equal(atomic_load(&b.ran_on), 2);
}

/* ---- turns ---- */

static void go_on(struct rusm__sched *sched, struct job *self) {
    (void)sched;
    if (self->partner) {
        ready(&self->partner->task, RUSM__READY_WAKE);
    }
    if (!atomic_load(&over)) {
        ready(&self->task, RUSM__READY_TAIL);
    }
}

/* Everything that was queued runs once more and then rests: a run queues before it has ended, so
 * the ends, read first, reach the readies only when nothing is left. */
static bool all_jobs_rest(void) {
    uint64_t ended = atomic_load(&all_ended);
    return ended == atomic_load(&all_ready);
}

static void finish_jobs(void) {
    atomic_store(&over, true);
    WAIT_FOR(all_jobs_rest());
}

/* Two that wake each other use the fast lane all the time; a third in the ring gets its turns. */
static void ping(struct rusm__sched *sched, struct job *self) {
    (void)sched;
    if (!atomic_load(&over)) {
        ready(&self->partner->task, RUSM__READY_WAKE);
    }
}

static void sched_lane_does_not_keep_the_ring_out(void **state) {
    (void)state;
    static struct job a = {.run = ping}, b = {.run = ping, .partner = &a}, third = {.run = go_on};
    a.partner = &b;
    ready(&a.task, RUSM__READY_WAKE);
    ready(&third.task, RUSM__READY_TAIL);
    WAIT_FOR(atomic_load(&third.runs) > 1000);
    WAIT_FOR(atomic_load(&a.runs) > 1000); /* nor the other way round */
    finish_jobs();
}

/* However many wait: a pair gets one turn of the lane for each round of theirs, not for each of
 * them.
 */
static void sched_lane_comes_back_after_all_others(void **state) {
    enum { OTHERS = 50, ROUNDS = 100, LANE_TURN = 1 + 32 };
    (void)state;
    static struct job a = {.run = ping}, b = {.run = ping, .partner = &a}, others[OTHERS];
    a.partner = &b;
    for (unsigned i = 0; i < OTHERS; i++) {
        others[i].run = go_on;
        ready(&others[i].task, RUSM__READY_TAIL);
    }
    ready(&a.task, RUSM__READY_WAKE);
    WAIT_FOR(atomic_load(&others[OTHERS - 1].runs) > ROUNDS);
    uint64_t pair = atomic_load(&a.runs) + atomic_load(&b.runs);
    uint64_t rounds = atomic_load(&others[0].runs) + 2; /* read later, so at least as many */
    finish_jobs();
    assert_true(pair <= rounds * LANE_TURN);
    assert_true(pair >= LANE_TURN);
}

/* Whatever the rhythm of the lane: a task of each queue that wakes a partner every time, next to
 * tasks of the other queues that want to run too. */
static void sched_queues_take_turns(void **state) {
    (void)state;
    for (unsigned partners = 0; partners < 4; partners++) {
        static struct job jobs[4][4];
        struct job *ring = &jobs[partners][0], *pinned = &jobs[partners][1];
        struct job *one = &jobs[partners][2], *two = &jobs[partners][3];
        *ring = (struct job){.run = go_on, .partner = partners & 1 ? one : NULL};
        *pinned = (struct job){.run = go_on, .partner = partners & 2 ? two : NULL};
        pinned->task.pinned = true;
        one->run = two->run = do_nothing;
        atomic_store(&over, false);
        ready(&pinned->task, RUSM__READY_TAIL);
        ready(&ring->task, RUSM__READY_TAIL);
        WAIT_FOR(atomic_load(&ring->runs) > 1000 && atomic_load(&pinned->runs) > 1000);
        finish_jobs();
    }
}

/* More tasks than the ring holds, all of which queue themselves again: everyone gets turns. */
static void sched_overflow_gets_its_turns(void **state) {
    enum { JOBS = 700 };
    (void)state;
    for (unsigned with_partner = 0; with_partner < 2; with_partner++) {
        struct job *jobs = calloc(2 * JOBS, sizeof(*jobs));
        atomic_store(&over, false);
        for (unsigned i = 0; i < JOBS; i++) {
            jobs[i].run = go_on;
            jobs[i].partner = with_partner ? &jobs[JOBS + i] : NULL;
            jobs[JOBS + i].run = do_nothing;
        }
        for (unsigned i = 0; i < JOBS; i++) {
            ready(&jobs[i].task, RUSM__READY_TAIL);
        }
        for (unsigned i = 0; i < JOBS; i++) {
            WAIT_FOR(atomic_load(&jobs[i].runs) >= 5);
        }
        finish_jobs();
        free(jobs);
    }
}

/* Tasks that use up their budget are followed by a look at timers and inbox: what waits there does
 * not wait for sixteen of them. */
struct look {
    struct rusm__wheel_node node;
    uint64_t hogs_until_fired;
    _Atomic bool go;
};

static void use_up_turn(struct rusm__sched *sched, struct job *self) {
    rusm__sched_look_soon(sched);
    if (!atomic_load(&over)) {
        ready(&self->task, RUSM__READY_TAIL);
    }
}

static void hog(struct rusm__sched *sched, struct job *self) {
    struct look *look = self->data;
    if (atomic_load(&look->go) && look->node.tick == 0) {
        look->node.tick = 1; /* armed below writes the real one */
        rusm__wheel_arm(rusm__sched_wheel(sched), &look->node, 1);
    } else if (look->node.tick != 0 && atomic_load(&timers_fired) == 0) {
        look->hogs_until_fired++;
    }
    use_up_turn(sched, self);
}

static void sched_looks_at_timers_after_a_used_up_budget(void **state) {
    (void)state;
    static struct look look;
    static struct job jobs[4];
    rusm__wheel_node_init(&look.node);
    for (unsigned i = 0; i < 4; i++) {
        jobs[i].run = hog;
        jobs[i].data = &look;
        ready(&jobs[i].task, RUSM__READY_TAIL);
    }
    WAIT_FOR(atomic_load(&all_runs) > 100);
    atomic_store(&look.go, true);
    WAIT_FOR(atomic_load(&timers_fired) == 1);
    finish_jobs();
    assert_true(look.hogs_until_fired <= 1);
}

/* What another thread sends comes next, and not behind all of them. */
struct visit {
    struct job visitor;
    uint64_t hogs_until_visit;
    bool is_sent;
    _Atomic bool go;
};

static void *send_visitor(void *arg) {
    struct visit *visit = arg;
    ready(&visit->visitor.task, RUSM__READY_WAKE);
    return NULL;
}

static void host(struct rusm__sched *sched, struct job *self) {
    struct visit *visit = self->data;
    pthread_t thread;
    if (visit->is_sent && atomic_load(&visit->visitor.runs) == 0) {
        visit->hogs_until_visit++;
    } else if (atomic_load(&visit->go) && !visit->is_sent) {
        visit->is_sent = true;
        assert_int_equal(pthread_create(&thread, NULL, send_visitor, visit), 0);
        pthread_join(thread, NULL);
    }
    use_up_turn(sched, self);
}

static void sched_does_not_queue_visitors_behind_hogs(void **state) {
    (void)state;
    static struct visit visit;
    static struct job jobs[8];
    visit.visitor.run = do_nothing;
    for (unsigned i = 0; i < 8; i++) {
        jobs[i].run = host;
        jobs[i].data = &visit;
        ready(&jobs[i].task, RUSM__READY_TAIL);
    }
    WAIT_FOR(atomic_load(&all_runs) > 100);
    atomic_store(&visit.go, true);
    WAIT_FOR(atomic_load(&visit.visitor.runs) == 1);
    finish_jobs();
    assert_true(visit.hogs_until_visit <= 1);
}

/* Whoever is in a hurry runs before all that wait, however many these are, and all stay in the
 * order that they were in. */
enum { CROWD = 2 * RUSM__RING_SIZE + RUSM__RING_SIZE / 2 };
static struct job hurried[CROWD], *hurried_order[CROWD];
static unsigned hurried_count;

static void note_order(struct rusm__sched *sched, struct job *self) {
    (void)sched;
    hurried_order[hurried_count++] = self;
}

/* One in what the ring had no room for, its first and its last, and two in the ring. */
static const unsigned in_hurry[5] = {0, 3, CROWD - RUSM__RING_SIZE, CROWD - 5, CROWD - 1};

static void hurry_some(struct rusm__sched *sched, struct job *self) {
    (void)self;
    for (unsigned i = 0; i < CROWD; i++) {
        hurried[i].run = note_order;
        ready(&hurried[i].task, RUSM__READY_TAIL);
    }
    for (unsigned i = 5; i > 0; i--) {
        rusm__sched_hurry(rusm__sched_runtime(sched), &hurried[in_hurry[i - 1]].task);
    }
    assert_true(rusm__sched_has_work(sched));
}

static void sched_lets_the_urgent_go_first(void **state) {
    static struct job first = {.run = hurry_some};
    (void)state;
    ready(&first.task, RUSM__READY_WAKE);
    WAIT_FOR(atomic_load(&all_ended) == CROWD + 1);
    for (unsigned i = 0; i < 5; i++) {
        assert_ptr_equal(hurried_order[i], &hurried[in_hurry[i]]);
    }
    for (unsigned i = 5, next = 0, skip = 0; i < CROWD; i++, next++) {
        for (; skip < 5 && next == in_hurry[skip]; skip++) {
            next++;
        }
        assert_ptr_equal(hurried_order[i], &hurried[next]);
    }
}

/* Nothing else waits, and still the lane is not all there is. */
static struct job urgent_one = {.run = do_nothing};

static void hurry_one(struct rusm__sched *sched, struct job *self) {
    ready(&urgent_one.task, RUSM__READY_TAIL);
    rusm__sched_hurry(rusm__sched_runtime(sched), &urgent_one.task);
    ready(&self->partner->task, RUSM__READY_WAKE);
}

static void sched_lane_does_not_keep_the_urgent_out(void **state) {
    (void)state;
    static struct job a = {.run = ping}, b = {.run = ping, .partner = &a},
                      first = {.run = hurry_one};
    a.partner = &b;
    first.partner = &a;
    ready(&first.task, RUSM__READY_WAKE);
    WAIT_FOR(atomic_load(&urgent_one.runs) == 1);
    finish_jobs();
}

/* ---- posts ---- */

struct post_log {
    pthread_mutex_t lock;
    unsigned count;
    unsigned next[4]; /* per sender */
    bool in_order, at_home;
};

struct post {
    struct post_log *log;
    unsigned sender, number;
    uint32_t index;
};

static void on_post(void *arg) {
    struct post *post = arg;
    struct post_log *log = post->log;
    pthread_mutex_lock(&log->lock);
    log->in_order = log->in_order && log->next[post->sender]++ == post->number;
    log->at_home = log->at_home && rusm__sched_index(rusm__sched_current()) == post->index;
    log->count++;
    pthread_mutex_unlock(&log->lock);
    free(post);
}

enum { POSTS = 2000, POSTERS = 3 };

struct poster {
    struct post_log *log;
    unsigned number;
};

static void *post_many(void *arg) {
    struct poster *poster = arg;
    for (unsigned i = 0; i < POSTS; i++) {
        struct post *post = malloc(sizeof(*post));
        *post = (struct post){poster->log, poster->number, i, 1};
        if (rusm__sched_post(rt, 1, on_post, post) != RUSM_OK) {
            abort();
        }
    }
    return NULL;
}

static unsigned count_of(struct post_log *log) {
    pthread_mutex_lock(&log->lock);
    unsigned count = log->count;
    pthread_mutex_unlock(&log->lock);
    return count;
}

static void sched_posts_run_once_at_home_in_order(void **state) {
    (void)state;
    struct post_log log = {.lock = PTHREAD_MUTEX_INITIALIZER, .in_order = true, .at_home = true};
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){&log, i};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
    }
    WAIT_FOR(count_of(&log) == POSTS * POSTERS);
    assert_true(log.in_order);
    assert_true(log.at_home);
}

static void sched_post_fails_without_memory(void **state) {
    (void)state;
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm__sched_post(rt, 0, on_post, NULL), RUSM_ENOMEM);
    rusm__mem_fail_nth(0);
}

static void count_posts(void *arg) {
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static void sched_stop_runs_what_was_posted(void **state) {
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        _Atomic unsigned count = 0;
        assert_int_equal(start(2), RUSM_OK);
        for (unsigned i = 0; i < 100; i++) {
            assert_int_equal(rusm__sched_post(rt, i % 2, count_posts, &count), RUSM_OK);
        }
        stop(NULL);
        assert_int_equal(atomic_load(&count), 100);
    }
}

/* ---- sleep ---- */

static uint64_t all_sleeps(void) {
    return rusm__sched_sleeps(rusm__sched_get(rt, 0)) + rusm__sched_sleeps(rusm__sched_get(rt, 1));
}

/* One post at a time, each to a scheduler that is about to sleep or asleep. */
static void sched_sleepers_wake_every_time(void **state) {
    enum { ROUNDS = 5000 };
    (void)state;
    _Atomic unsigned count = 0;
    uint64_t enough_ns = rusm_now_ns() + 10 * RUSM__SECOND; /* each may take a time slice */
    for (unsigned i = 0; i < ROUNDS && rusm_now_ns() < enough_ns; i++) {
        assert_int_equal(rusm__sched_post(rt, i % 2, count_posts, &count), RUSM_OK);
        uint64_t until = rusm_now_ns() + PATIENCE_S * RUSM__SECOND;
        while (atomic_load(&count) != i + 1 && rusm_now_ns() < until) {
            sched_yield();
        }
        assert_int_equal(atomic_load(&count), i + 1);
        for (unsigned spin = 0; spin < i % 200; spin++) { /* meet it on its way to sleep */
            atomic_load(&count);
        }
    }
    assert_true(all_sleeps() > 0);
}

/* Nearly nothing happens for a while. One that has something to do on a busy machine may take its
 * time to fall asleep, and others doze next to it; one that spins never rests. */
static bool they_rest(void) {
    const struct timespec pause = {.tv_nsec = 300000000};
    uint64_t before = all_sleeps();
    nanosleep(&pause, NULL);
    return all_sleeps() - before < 10 && atomic_load(&rt->idle) == 2;
}

static void sched_idle_schedulers_rest(void **state) {
    (void)state;
    WAIT_FOR(all_sleeps() >= 2);
    WAIT_FOR(they_rest());
}

/* A task that ends right before the clock's next millisecond, so that the scheduler is on its way
 * to sleep while timers come due. */
static void until_nearly_the_next_ms(unsigned round) {
    uint64_t edge = (rusm__clock_ns() / RUSM__MS + 1) * RUSM__MS;
    while (rusm__clock_ns() < edge - round % 40 * 500) {
    }
}

struct loop_timer {
    uv_timer_t timer;
    struct job job;
    unsigned rounds;
    _Atomic bool done;
};

static void on_uv_timer(uv_timer_t *timer) {
    struct loop_timer *self = timer->data;
    ready(&self->job.task, RUSM__READY_WAKE);
}

static void on_uv_closed(uv_handle_t *handle) {
    atomic_store(&((struct loop_timer *)handle->data)->done, true);
}

static void set_uv_timer(struct rusm__sched *sched, struct job *job) {
    struct loop_timer *self = job->data;
    if (self->rounds == 0) {
        uv_timer_init(rusm__sched_loop(sched), &self->timer);
        self->timer.data = self;
    }
    if (++self->rounds > 400) {
        uv_close((uv_handle_t *)&self->timer, on_uv_closed);
        return;
    }
    uv_update_time(rusm__sched_loop(sched));
    uv_timer_start(&self->timer, on_uv_timer, 1, 0);
    until_nearly_the_next_ms(self->rounds);
}

/* The only thing that wakes this scheduler is a timer of its loop whose callback queues a task. */
static void sched_does_not_sleep_over_what_a_loop_timer_queued(void **state) {
    (void)state;
    static struct loop_timer self;
    self = (struct loop_timer){.job = {.run = set_uv_timer, .data = &self}};
    ready(&self.job.task, RUSM__READY_WAKE);
    WAIT_FOR(atomic_load(&self.done));
}

struct wheel_timer {
    struct rusm__wheel_node node;
    unsigned rounds;
};

static void set_wheel_timer(struct rusm__sched *sched, struct job *job) {
    struct wheel_timer *self = job->data;
    self->rounds++;
    rusm__wheel_cancel(&self->node);
    rusm__wheel_arm(rusm__sched_wheel(sched), &self->node, rusm__clock_ns() + RUSM__MS / 4);
    until_nearly_the_next_ms(self->rounds);
}

static void sched_does_not_sleep_over_its_own_timers(void **state) {
    (void)state;
    static struct wheel_timer timer;
    static struct job job = {.run = set_wheel_timer, .data = &timer};
    rusm__wheel_node_init(&timer.node);
    for (unsigned i = 1; i <= 400; i++) {
        ready(&job.task, RUSM__READY_WAKE);
        WAIT_FOR(atomic_load(&timers_fired) == i);
    }
}

/* ---- stealing ---- */

static void nap(struct rusm__sched *sched, struct job *self) {
    (void)sched;
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL); /* a task that keeps its scheduler for a while */
    if (!atomic_load(&over)) {
        ready(&self->task, RUSM__READY_TAIL);
    }
}

static void spread_out(struct rusm__sched *sched, struct job *self) {
    struct job *jobs = self->data;
    (void)sched;
    for (unsigned i = 0; i < 20; i++) {
        ready(&jobs[i].task, RUSM__READY_TAIL);
    }
}

/* Where any of them ran: a bit per scheduler. */
static uint32_t places(struct job *jobs, unsigned count) {
    uint32_t all = 0;
    for (unsigned i = 0; i < count; i++) {
        all |= atomic_load(&jobs[i].ran_on);
    }
    return all;
}

static void sched_idle_ones_steal(void **state) {
    (void)state;
    static struct job jobs[20], first = {.run = spread_out, .data = jobs};
    for (unsigned i = 0; i < 20; i++) {
        jobs[i].run = nap;
    }
    ready(&first.task, RUSM__READY_WAKE);
    WAIT_FOR(rusm__sched_steals(rusm__sched_get(rt, 0)) +
                 rusm__sched_steals(rusm__sched_get(rt, 1)) >
             0);
    WAIT_FOR(places(jobs, 20) == 3);
    finish_jobs();
}

/* An owner in mid-step does not look at the clock; the sleeper that watches does. */
static void hold_on(struct rusm__sched *sched, struct job *self) {
    struct job *jobs = self->data;
    uint64_t until = rusm_now_ns() + PATIENCE_S * RUSM__SECOND;
    (void)sched;
    for (unsigned i = 0; i < 4; i++) {
        ready(&jobs[i].task, RUSM__READY_TAIL);
    }
    while (atomic_load(&jobs[0].runs) == 0 && rusm_now_ns() < until) {
    }
}

static void sched_takes_what_waits_behind_a_long_step(void **state) {
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        static struct job rounds[20][5];
        struct job *jobs = rounds[round], *first = &jobs[4];
        *first = (struct job){.run = hold_on, .data = jobs};
        for (unsigned i = 0; i < 4; i++) {
            jobs[i].run = do_nothing;
        }
        ready(&first->task, RUSM__READY_WAKE);
        WAIT_FOR(atomic_load(&jobs[0].runs) == 1);
        assert_int_not_equal(atomic_load(&jobs[0].ran_on), atomic_load(&first->ran_on));
        WAIT_FOR(atomic_load(&all_runs) == 5 * (round + 1));
    }
}

static void sched_work_spreads_over_all(void **state) {
    (void)state;
    static struct job jobs[20], first = {.run = spread_out, .data = jobs};
    for (unsigned i = 0; i < 20; i++) {
        jobs[i].run = nap;
    }
    ready(&first.task, RUSM__READY_WAKE);
    WAIT_FOR(places(jobs, 20) == 0xf);
    finish_jobs();
    /* Nobody watches once all sleep. */
    WAIT_FOR(atomic_load(&rt->idle) == 4 && atomic_load(&rt->watcher) == 0);
}

static void sched_knows_itself(void **state) {
    (void)state;
    assert_null(rusm__sched_current());
    assert_null(rusm__sched_current_of(rt));
    assert_int_equal(rusm__sched_count(rt), 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(rusm__sched_index(rusm__sched_get(rt, i)), i);
        assert_ptr_equal(rusm__sched_runtime(rusm__sched_get(rt, i)), rt);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name, start) cmocka_unit_test_setup_teardown(name, start, stop)
        TEST(sched_knows_itself, start_two),
        TEST(sched_runs_what_plain_threads_send, start_two),
        TEST(sched_pinned_tasks_stay_at_home, start_two),
        TEST(sched_pinned_pair_across_schedulers, start_two),
        TEST(sched_lane_does_not_keep_the_ring_out, start_one),
        TEST(sched_lane_comes_back_after_all_others, start_one),
        TEST(sched_queues_take_turns, start_one),
        TEST(sched_overflow_gets_its_turns, start_one),
        TEST(sched_looks_at_timers_after_a_used_up_budget, start_one),
        TEST(sched_does_not_queue_visitors_behind_hogs, start_one),
        TEST(sched_lets_the_urgent_go_first, start_one),
        TEST(sched_lane_does_not_keep_the_urgent_out, start_one),
        TEST(sched_posts_run_once_at_home_in_order, start_two),
        TEST(sched_post_fails_without_memory, start_one),
        cmocka_unit_test(sched_stop_runs_what_was_posted),
        TEST(sched_sleepers_wake_every_time, start_two),
        TEST(sched_idle_schedulers_rest, start_two),
        TEST(sched_does_not_sleep_over_what_a_loop_timer_queued, start_one),
        TEST(sched_does_not_sleep_over_its_own_timers, start_one),
        TEST(sched_idle_ones_steal, start_two),
        TEST(sched_takes_what_waits_behind_a_long_step, start_two),
        TEST(sched_work_spreads_over_all, start_four),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
