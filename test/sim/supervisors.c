/* SPDX-License-Identifier: MIT */
/* A run of another kind: supervisors over supervisors, whose workers crash at random, whose start
 * functions are careless, and who are asked, told to end and killed by threads and fibers.
 *
 * What must be true: nobody outlives the supervisor above; no child is there twice; children end
 * from right to left; restarts are those that were told to the log and never more than the budget;
 * each argument is dropped once. That memory returns to what it was is checked for every run.
 *
 * A team is one life of a supervisor, a kid one child of it, a worker one process of a kid. The
 * lines of the log are taken where they are made: say.c is not part of this program. */
#include <stdio.h>
#include <string.h>

#include "rusm/error.h"
#include "rusm/fiber.h"
#include "rusm/supervisor.h"

#include "base/clock.h"
#include "base/mem.h"
#include "sup/sup_impl.h"

#include "model.h"
#include "workload.h"
#include "world.h"

enum { TEAMS = 60, KIDS = 6, WORKERS = 1500, TOPS = 2, ASKERS = 3, DEPTH = 2 };

struct team;

struct kid {
    struct team *team;
    unsigned place;
    char id[8];
    bool given, added, nests;
    unsigned attempts, drops;
    unsigned living; /* workers that were spawned as they should be */
    rusm_pid pid;    /* the latest */
};

struct team {
    struct team *above;
    struct kid *as; /* what it is there */
    unsigned depth;
    rusm_supervisor *handle;
    rusm_pid pid;
    rusm_pid parent;
    rusm_strategy strategy;
    uint32_t max;
    bool requests; /* somebody asked for something */
    bool gave_up, could_not_start;
    unsigned restarts; /* that went to the log */
    unsigned by_hand;  /* that were asked for, whatever the answer */
    unsigned living;   /* workers, whatever became of their start */
    unsigned kid_count;
    struct kid kids[KIDS];
};

struct worker {
    struct kid *kid;
    rusm_pid pid;
    bool is_bare, is_polite, is_deaf;
    unsigned steps;
};

static struct team teams[TEAMS];
static struct worker workers[WORKERS];
static unsigned team_count = TOPS, worker_count, careless;
static bool kills; /* some supervisor or parent was killed */
static rusm_pid some_dead;

static struct team *team_of(const rusm_supervisor *sup) {
    unsigned index = 0;
    sscanf(sup->name, "team %u", &index);
    return &teams[index];
}

/* ---- instead of say.c ---- */

void rusm__say_restart(const rusm_supervisor *sup, const struct rusm__child *child,
                       const struct rusm__why *why, uint64_t delay_ns) {
    struct team *team = team_of(sup);
    sim_trace("%s restarts %s: %d %d, after %llu", sup->name, child->id, (int)why->kind, why->code,
              (unsigned long long)delay_ns);
    if (++team->restarts > team->max)
        sim_fail("%s: %u restarts, %u allowed", sup->name, team->restarts, team->max);
}

void rusm__say_give_up(const rusm_supervisor *sup, const struct rusm__child *child,
                       const struct rusm__why *why) {
    (void)why;
    struct team *team = team_of(sup);
    sim_trace("%s gives up because of %s", sup->name, child->id);
    if (team->restarts != team->max || team->gave_up)
        sim_fail("%s gave up after %u restarts of %u", sup->name, team->restarts, team->max);
    team->gave_up = true;
}

void rusm__say_no_start(const rusm_supervisor *sup, const struct rusm__child *child, int code) {
    team_of(sup)->could_not_start = true;
    sim_trace("%s could not start %s: %d", sup->name, child->id, code);
}

void rusm__say_killed(const rusm_supervisor *sup, const struct rusm__child *child) {
    sim_trace("%s kills %s", sup->name, child->id);
}

/* ---- workers ---- */

static void check_order(const struct kid *kid) {
    const struct team *team = kid->team;
    if (team->requests || kid->added) /* one may have been asked to end alone */
        return;
    if (team->as && model.stopping && !kills && !model.starving && !team->gave_up &&
        !team->could_not_start && team->strategy == RUSM_ONE_FOR_ONE)
        check_order(team->as); /* it must have been told to end by the one above */
    for (unsigned i = kid->place + 1; i < team->kid_count; i++) {
        if (team->kids[i].living && !team->kids[i].added)
            sim_fail("%s is told to end before %s, to its right", kid->id, team->kids[i].id);
    }
}

static void take_exit(const struct worker *worker, const rusm_msg *msg) {
    const struct team *team = worker->kid->team;
    if (worker->is_bare)
        return;
    if (rusm_msg_from(msg) == team->pid)
        check_order(worker->kid);
    else if (model.stopping && !kills && !model.starving && rusm_msg_from(msg) == 0 &&
             rusm_pid_is_alive(model.rt, team->pid))
        sim_fail("%s is told by the runtime, not by its supervisor", worker->kid->id);
}

static rusm_step worker_step(rusm_proc *self, void *body) {
    struct worker *worker = body;
    rusm_msg *msg;
    worker->pid = rusm_proc_pid(self);
    rusm_proc_trap_exit(self, worker->is_polite || worker->is_deaf);
    while ((msg = rusm_proc_receive(self)) != NULL) {
        bool told = rusm_msg_get_kind(msg) == RUSM_MSG_EXIT;
        if (told)
            take_exit(worker, msg);
        rusm_msg_free(msg);
        if (told && worker->is_polite)
            return RUSM_STEP_EXIT;
    }
    if (worker->steps == 0)
        return RUSM_STEP_WAIT;
    if (--worker->steps == 0 && sim_chance(70)) {
        rusm_proc_set_exit(self, sim_chance(60) ? RUSM_EXIT_CRASHED : RUSM_EXIT_NORMAL,
                           "by itself");
        return RUSM_STEP_EXIT;
    }
    if (rusm_proc_wake_at(self, sim_now() + sim_below(20000000)) != RUSM_OK)
        return RUSM_STEP_AGAIN;
    return RUSM_STEP_WAIT;
}

static void worker_drop(void *body) {
    struct worker *worker = body;
    worker->kid->team->living--;
    worker->kid->living -= !worker->is_bare;
    some_dead = worker->pid ? worker->pid : some_dead;
}

static const rusm_body_ops worker_ops = {
    .name = "worker", .step = worker_step, .drop = worker_drop};

static int spawn_worker(struct kid *kid, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    rusm_spawn_options bare = {.size = sizeof(bare)};
    if (worker_count == WORKERS)
        return RUSM_ELIMIT;
    struct worker *worker = &workers[worker_count++];
    *worker = (struct worker){.kid = kid,
                              .is_bare = !spawn,
                              .is_polite = sim_chance(60),
                              .is_deaf = sim_chance(20) && !kid->nests, /* those are waited for */
                              .steps = sim_below(4)};
    spawn = spawn ? spawn : &bare;
    spawn->ops = &worker_ops;
    spawn->body = worker;
    kid->team->living++;
    kid->living += !worker->is_bare;
    if (kid->living > 1)
        sim_fail("%s is there twice", kid->id);
    int code = rusm_proc_spawn(model.rt, spawn, out_pid);
    sim_fence(); /* others learn the pid from a plain variable */
    if (code != RUSM_OK) {
        kid->team->living--;
        kid->living -= !worker->is_bare;
    }
    return code;
}

/* ---- teams ---- */

static int start_nested(struct kid *as, const rusm_spawn_options *spawn, rusm_pid *out_pid);

static int start_carelessly(struct kid *kid, rusm_pid *out_pid) {
    switch (sim_below(5)) {
    case 0:
        return RUSM_ELIMIT;
    case 1:
        return 5;
    case 2:
        *out_pid = some_dead;
        return RUSM_OK; /* nobody, or somebody who has ended */
    default:
        return spawn_worker(kid, NULL, out_pid); /* not as it should be */
    }
}

static int start_kid(rusm_proc *self, void *arg, rusm_spawn_options *spawn, rusm_pid *out_pid) {
    struct kid *kid = arg;
    struct team *team = kid->team;
    team->pid = rusm_proc_pid(self);
    kid->attempts++;
    if (rusm_pid_self(model.rt) != team->pid || !rusm_runtime_is_scheduler())
        sim_fail("a start function does not run in its supervisor");
    int code;
    if (sim_chance(careless))
        code = start_carelessly(kid, out_pid);
    else if (kid->nests)
        code = start_nested(kid, spawn, out_pid);
    else
        code = spawn_worker(kid, spawn, out_pid);
    kid->pid = *out_pid;
    sim_trace("kid %s of team %u starts: %d", kid->id, (unsigned)(team - teams), code);
    return code;
}

static void drop_kid(void *arg) {
    struct kid *kid = arg;
    if (++kid->drops > 1)
        sim_fail("%s is dropped twice", kid->id);
}

static rusm_child new_kid(struct team *team) {
    static const uint64_t graces[] = {RUSM_GRACE_KILL, 20 * RUSM__MS, 300 * RUSM__MS};
    struct kid *kid = &team->kids[team->kid_count];
    *kid = (struct kid){.team = team, .place = team->kid_count++};
    kid->nests = team->depth < DEPTH && sim_chance(25);
    snprintf(kid->id, sizeof(kid->id), "k%u", kid->place);
    return (rusm_child){.size = sizeof(rusm_child),
                        .id = kid->id,
                        .start = start_kid,
                        .arg = kid,
                        .drop = drop_kid,
                        .restart = (rusm_restart)sim_below(3),
                        .grace_ns = kid->nests ? UINT64_MAX : graces[sim_below(3)]};
}

/* As many teams as there are records; those at the top have the first ones. */
static int start_team(struct team *team, const rusm_spawn_options *spawn, rusm_pid *out_pid,
                      rusm_supervisor **out_handle) {
    rusm_child children[KIDS];
    char name[16];
    snprintf(name, sizeof(name), "team %u", (unsigned)(team - teams));
    team->strategy = (rusm_strategy)sim_below(3);
    team->max = sim_below(6);
    for (unsigned count = sim_below(4); count > 0; count--)
        children[team->kid_count] = new_kid(team);
    rusm_supervisor_options options = {.size = sizeof(options),
                                       .name = name,
                                       .strategy = team->strategy,
                                       .budget = {team->max, UINT64_MAX},
                                       .parent = team->parent,
                                       .children = children,
                                       .child_count = team->kid_count};
    if (sim_chance(40))
        options.backoff = (rusm_backoff){.at_once = sim_below(2), .first_ns = 10 * RUSM__MS};
    if (spawn)
        options.spawn = *spawn;
    int code = rusm_supervisor_start(model.rt, &options, out_pid, out_handle);
    sim_fence();
    if (code == RUSM_OK)
        team->pid = *out_pid;
    for (unsigned i = 0; code == RUSM_OK && i < options.child_count; i++)
        team->kids[i].given = true;
    return code;
}

static int start_nested(struct kid *as, const rusm_spawn_options *spawn, rusm_pid *out_pid) {
    if (team_count == TEAMS)
        return RUSM_ELIMIT;
    struct team *team = &teams[team_count++];
    team->as = as;
    team->above = as->team;
    team->depth = as->team->depth + 1;
    return start_team(team, spawn, out_pid, NULL);
}

/* ---- who asks, tells and kills ---- */

static uint64_t some_deadline(void) {
    return sim_chance(30) ? RUSM_FOREVER : sim_chance(30) ? 0 : sim_now() + sim_below(40000000);
}

static void add(rusm_proc *self, struct team *team) {
    if (team->kid_count == KIDS)
        return;
    rusm_child child = new_kid(team);
    struct kid *kid = child.arg;
    kid->given = kid->added = true;
    child.id = sim_chance(10) ? "k0" : kid->id;
    int code = rusm_supervisor_add(self, team->handle, &child, some_deadline());
    if (code == RUSM_EBUSY || code == RUSM_EFULL)
        sim_fail("add: answer %d", code);
}

static void ask_about_kid(rusm_proc *self, struct team *team, unsigned which) {
    if (team->kid_count == 0)
        return;
    struct kid *kid = &team->kids[sim_below(team->kid_count)];
    uint64_t deadline_ns = some_deadline();
    int code;
    team->by_hand += which == 1;
    if (which == 0)
        code = rusm_supervisor_terminate(self, team->handle, kid->id, deadline_ns);
    else if (which == 1)
        code = rusm_supervisor_restart(self, team->handle, kid->id, deadline_ns);
    else
        code = rusm_supervisor_remove(self, team->handle, kid->id, deadline_ns);
    if (code > 0 || code == RUSM_EBUSY || code == RUSM_EFULL)
        sim_fail("request %u: answer %d", which, code);
}

static void ask(rusm_proc *self, struct team *team) {
    team->requests = true;
    unsigned which = sim_below(6);
    if (which < 3)
        ask_about_kid(self, team, which);
    else if (which == 3)
        add(self, team);
    else if (which == 4)
        (void)!rusm_supervisor_ready(self, team->handle, some_deadline());
    else if (sim_chance(30))
        (void)!rusm_supervisor_stop(self, team->handle, some_deadline());
    int code = self ? rusm_supervisor_ready(NULL, team->handle, RUSM_FOREVER) : RUSM_ESTATE;
    if (code != RUSM_ESTATE && code != RUSM_ENOMEM)
        sim_fail("a scheduler waits as a thread does: answer %d", code);
}

static void disturb(void) {
    struct team *team = &teams[sim_below(team_count)];
    rusm_msg *noise;
    if (team->kid_count && sim_chance(70)) {
        rusm_pid pid = team->kids[sim_below(team->kid_count)].pid;
        kills = kills || team->depth < DEPTH; /* it may be a team */
        if (sim_chance(50))
            rusm_pid_kill(model.rt, pid);
        else
            (void)!rusm_pid_exit(model.rt, pid, RUSM_EXIT_CRASHED, "told");
    } else if (sim_chance(30)) {
        kills = true;
        rusm_pid_kill(model.rt, sim_chance(30) && team->parent ? team->parent : team->pid);
    } else if (rusm_msg_new(sim_below(12), &noise) == RUSM_OK &&
               rusm_msg_send(model.rt, team->pid, noise) != RUSM_OK) {
        rusm_msg_free(noise);
    }
}

static void trouble(rusm_proc *self, unsigned ops) {
    rusm_supervisor *handle;
    rusm_child_info infos[KIDS];
    for (; ops > 0; ops--) {
        struct team *team = &teams[sim_below(TOPS)];
        if (model.starving && sim_below(model.starving) == 0)
            rusm__mem_fail_nth(1 + sim_below(6));
        handle = team->handle;
        if (handle && rusm_supervisor_children(handle, infos, KIDS) > KIDS)
            sim_fail("more children than were ever given");
        if (handle && sim_chance(50))
            ask(self, team);
        else if (team_count && sim_chance(model.violence))
            disturb();
        rusm__mem_fail_nth(0);
    }
}

static void *outsider(void *unused) {
    (void)unused;
    trouble(NULL, 2 + sim_below(8));
    return NULL;
}

static void asker(rusm_proc *self, void *unused) {
    (void)unused;
    trouble(self, 2 + sim_below(8));
}

static void parent(rusm_proc *self, void *unused) {
    (void)unused;
    (void)!rusm_sleep_until(self, sim_now() + 5000000 + sim_below(200000000));
}

static rusm_pid start_fiber(rusm_fiber_main main) {
    rusm_fiber_options options = {.size = sizeof(options), .main = main};
    rusm_pid pid;
    return rusm_fiber_spawn(model.rt, &options, &pid) == RUSM_OK ? pid : 0;
}

/* ---- what must be true ---- */

/* Each start but the first was a restart that went to the log, or was asked for. */
static void check_restarts(const struct team *team, bool exactly) {
    unsigned sum = 0;
    for (unsigned i = 0; i < team->kid_count; i++) {
        const struct kid *kid = &team->kids[i];
        unsigned again = kid->attempts ? kid->attempts - 1 : 0;
        sum += again;
        if (again > team->restarts + team->by_hand)
            sim_fail("%s was started again %u times at %u restarts", kid->id, again,
                     team->restarts);
    }
    bool fits = exactly ? sum == team->restarts : sum <= team->restarts + team->by_hand;
    if (team->strategy == RUSM_ONE_FOR_ONE && !fits)
        sim_fail("team %u: %u starts again at %u restarts", (unsigned)(team - teams), sum,
                 team->restarts);
}

static void check_quiet_teams(void) {
    rusm__mem_fail_nth(0);
    sim_trace("it is quiet");
    for (unsigned i = 0; i < team_count; i++) {
        const struct team *team = &teams[i];
        bool alive = team->pid && rusm_pid_is_alive(model.rt, team->pid);
        if (!alive && team->living)
            sim_fail("%u workers outlive team %u", team->living, i);
        if (alive && team->above && !rusm_pid_is_alive(model.rt, team->above->pid))
            sim_fail("team %u outlives the one above", i);
        if (alive && team->parent && !rusm_pid_is_alive(model.rt, team->parent))
            sim_fail("team %u outlives its parent", i);
        if (alive && team->gave_up)
            sim_fail("team %u has given up and lives", i);
        check_restarts(team, alive && !team->requests);
    }
}

static void check_over_teams(void) {
    for (unsigned i = 0; i < team_count; i++) {
        const struct team *team = &teams[i];
        if (team->living)
            sim_fail("workers of team %u outlive the runtime", i);
        check_restarts(team, false);
        for (unsigned k = 0; k < team->kid_count; k++) {
            if (team->kids[k].drops != team->kids[k].given)
                sim_fail("%s of team %u was dropped %u times", team->kids[k].id, i,
                         team->kids[k].drops);
        }
    }
}

/* ---- a run ---- */

static void start_tops(void) {
    for (unsigned i = 0; i < TOPS; i++) {
        rusm_pid pid;
        teams[i].parent = sim_chance(30) ? start_fiber(parent) : 0;
        int code = start_team(&teams[i], NULL, &pid, &teams[i].handle);
        if (code != RUSM_OK)
            sim_fail("start of a supervisor: answer %d", code);
    }
}

static void act(void) {
    struct sim_thread *threads[OUTSIDERS - 1];
    rusm_pid askers[ASKERS] = {0};
    unsigned count = sim_below(OUTSIDERS), asking = sim_below(ASKERS + 1);
    for (unsigned i = 0; i < count; i++)
        threads[i] = sim_thread_start("plain", outsider, NULL);
    for (unsigned i = 0; i < asking; i++)
        askers[i] = start_fiber(asker);
    trouble(NULL, sim_below(10));
    if (asking && sim_chance(40))
        rusm_pid_kill(model.rt, askers[0]);
    for (unsigned i = 0; i < count; i++)
        sim_thread_join(threads[i]);
}

static void stop(void) {
    model.stopping = true;
    if (sim_chance(50))
        rusm_runtime_stop(model.rt);
    else if (rusm_runtime_stop_within(model.rt, sim_below(2000) * RUSM__MS, NULL) != RUSM_OK)
        sim_fail("the runtime does not stop");
}

void supervisors_run(void) {
    rusm_runtime_options options = {
        .size = sizeof(options), .schedulers = 1 + sim_below(3), .max_processes = 100};
    careless = sim_chance(50) ? 0 : 10;
    model.violence = sim_below(3) * 40;
    int code = rusm_runtime_start(&options, &model.rt);
    if (code != RUSM_OK)
        sim_fail("start: answer %d", code);
    start_tops();
    model.starving = sim_chance(30) ? 5 : 0;
    act();
    if (sim_chance(75)) {
        sim_wait_idle();
        check_quiet_teams();
    }
    stop();
    for (unsigned i = 0; i < TOPS; i++)
        rusm_supervisor_free(teams[i].handle);
    check_over_teams();
}
