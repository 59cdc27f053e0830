/* SPDX-License-Identifier: MIT */
/* What must be true when nothing can happen any more. Everybody but the caller sleeps, so the
 * insides of the core may be looked at as they are. */
#include <stdlib.h>
#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "proc/proc_impl.h"
#include "sched/sched_impl.h"

#include "model.h"
#include "world.h"

static const char *const names[NAMES] = {"n0", "n1", "n2", "n3", "n4"};
static const char *const tags[TAGS] = {"t0", "t1", "t2"};

static bool lives(const struct actor *actor) {
    return actor->born && !actor->dropped;
}

static unsigned count_living(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < model.actor_count; i++) {
        count += lives(&model.actors[i]);
    }
    return count;
}

/* ---- mail ---- */

static void check_mail(unsigned number) {
    const struct mail *mail = &model.mails[number];
    const struct actor *to = &model.actors[mail->to];
    if (mail->state != ACCEPTED || mail->received || mail->cancelled || !lives(to)) {
        return;
    }
    bool may_be_refused =
        to->cap && (mail->kind == TIMED || to->policy == RUSM_MAILBOX_DROP_OLDEST);
    if (mail->kind != REPLY && !may_be_refused) {
        sim_fail("mail %u to actor %u was lost", number, mail->to);
    }
}

/* Sent = received + dropped. Of a timer's message only its arrival is known. */
static void check_sums(void) {
    rusm_runtime_stats stats = {.size = sizeof(stats)};
    uint64_t late_timers = 0;
    for (unsigned i = 1; i <= model.mail_count; i++) {
        const struct mail *mail = &model.mails[i];
        late_timers += mail->state == ACCEPTED && !mail->received && mail->kind == TIMED;
        check_mail(i);
    }
    if (rusm_runtime_get_stats(model.rt, &stats) != RUSM_OK) {
        sim_fail("no statistics");
    }
    if (stats.sent != model.received + stats.dropped) {
        sim_fail("sent %llu, received %llu, dropped %llu", (unsigned long long)stats.sent,
                 (unsigned long long)model.received, (unsigned long long)stats.dropped);
    }
    if (stats.refused < model.refused || stats.refused > model.refused + late_timers) {
        sim_fail("%llu were refused, not %llu", (unsigned long long)model.refused,
                 (unsigned long long)stats.refused);
    }
    if (stats.spawned != model.spawned || stats.exited != model.dropped) {
        sim_fail("births %llu, ends %llu; counted %llu, %llu", (unsigned long long)model.spawned,
                 (unsigned long long)model.dropped, (unsigned long long)stats.spawned,
                 (unsigned long long)stats.exited);
    }
}

/* ---- actors ---- */

static void check_living(const struct actor *actor) {
    rusm_proc_info *info;
    if (actor->told_kill || actor->must_die) {
        sim_fail("actor %u outlives its %s", actor->index, actor->told_kill ? "kill" : "exit");
    }
    if (!actor->started) {
        sim_fail("actor %u never ran", actor->index);
    }
    if (!actor->resting && (actor->is_fiber || actor->wake_ns)) {
        sim_fail("actor %u is not woken", actor->index);
    }
    if (actor->parked) {
        sim_fail("actor %u does not know what became of mail %u", actor->index, actor->parked);
    }
    if (!rusm_pid_is_alive(model.rt, actor->pid)) {
        sim_fail("actor %u is gone and its body is not", actor->index);
    }
    if (rusm_pid_info(model.rt, actor->pid, &info) != RUSM_OK) {
        sim_fail("no information about actor %u", actor->index);
    }
    if (info->mailbox_depth != 0) {
        sim_fail("%u messages wait for actor %u", info->mailbox_depth, actor->index);
    }
    if (info->name_count != (size_t)__builtin_popcount(actor->names)) {
        sim_fail("actor %u holds %zu names", actor->index, info->name_count);
    }
    rusm_proc_info_free(info);
}

static void check_list(void) {
    rusm_pid pids[ACTORS + 1];
    size_t count = rusm_pid_list(model.rt, pids, ACTORS + 1);
    if (count != count_living()) {
        sim_fail("%zu processes are listed, %u live", count, count_living());
    }
    for (size_t i = 0; i < count; i++) {
        const struct actor *actor = model_actor_of(pids[i]);
        if (!actor || !lives(actor)) {
            sim_fail("a process is listed that does not live");
        }
    }
}

static void check_words(void) {
    for (unsigned i = 0; i < NAMES; i++) {
        rusm_pid holder = 0;
        for (unsigned a = 0; a < model.actor_count; a++) {
            if (lives(&model.actors[a]) && (model.actors[a].names >> i & 1)) {
                holder = model.actors[a].pid;
            }
        }
        if (rusm_name_whereis(model.rt, names[i], 2) != holder) {
            sim_fail("name %u is not with its holder", i);
        }
    }
    for (unsigned i = 0; i < TAGS; i++) {
        size_t members = 0;
        for (unsigned a = 0; a < model.actor_count; a++) {
            members += lives(&model.actors[a]) && (model.actors[a].tags >> i & 1);
        }
        if (rusm_tag_whereis(model.rt, tags[i], 2, NULL, 0) != members) {
            sim_fail("tag %u has not %zu members", i, members);
        }
    }
}

/* ---- ties, as the workload sees them ---- */

static void check_watches(void) {
    for (unsigned i = 0; i < model.watch_count; i++) {
        const struct watch *watch = &model.watches[i];
        const struct actor *watcher = &model.actors[watch->watcher];
        const struct actor *target = &model.actors[watch->target];
        if (!watch->active || !lives(watcher)) {
            continue;
        }
        if (watch->downs != (lives(target) ? 0 : 1)) {
            sim_fail("actor %u was told %u times of the end of %u, which %s", watch->watcher,
                     watch->downs, watch->target, lives(target) ? "lives" : "is dead");
        }
    }
}

static void check_link(unsigned a, unsigned b) {
    const struct actor *survivor = &model.actors[a], *dead = &model.actors[b];
    bool linked = model.link_calls[a][b] || model.link_calls[b][a];
    if (!linked || model.unlink_calls[a][b] || model.unlink_calls[b][a] || !lives(survivor) ||
        !dead->dropped) {
        return;
    }
    if (survivor->trap == NEVER_TRAPS && dead->end_known && dead->end_kind != RUSM_EXIT_NORMAL) {
        sim_fail("actor %u is linked to %u, which ended %s, and lives", a, b,
                 rusm_exit_kind_name(dead->end_kind));
    }
    if (survivor->trap == ALWAYS_TRAPS && model.link_calls[a][b] && !model.exits[a][b]) {
        sim_fail("actor %u was not told of the end of %u over their link", a, b);
    }
}

/* ---- ties, as the core keeps them ---- */

static void each_record(const struct rusm__records *set, const rusm_proc *owner,
                        void (*visit)(const rusm_proc *owner, const struct rusm__signal *record)) {
    for (const struct rusm__signal *at = set->few; at; at = at->chain) {
        visit(owner, at);
    }
    for (uint32_t i = 0; set->buckets && i <= set->mask; i++) {
        for (const struct rusm__signal *at = set->buckets[i]; at; at = at->chain) {
            visit(owner, at);
        }
    }
}

static struct rusm__extra *extra_of(rusm_pid pid) {
    rusm_proc *proc = rusm__table_find(&model.rt->procs->table, pid);
    return proc ? atomic_load_explicit(&proc->extra, memory_order_relaxed) : NULL;
}

static void visit_link(const rusm_proc *owner, const struct rusm__signal *record) {
    const struct rusm__extra *peer = extra_of(record->peer);
    if (!peer || !rusm__records_find(&peer->links, owner->pid)) {
        sim_fail("a link of %llx to %llx has one side", (unsigned long long)owner->pid,
                 (unsigned long long)record->peer);
    }
}

static void visit_watched(const rusm_proc *owner, const struct rusm__signal *record) {
    const struct rusm__extra *peer = extra_of(record->peer);
    if (!peer || !rusm__records_find(&peer->watchers, record->head.ref)) {
        sim_fail("a monitor of %llx is not at %llx", (unsigned long long)owner->pid,
                 (unsigned long long)record->peer);
    }
}

static void visit_watcher(const rusm_proc *owner, const struct rusm__signal *record) {
    const struct rusm__extra *peer = extra_of(record->peer);
    if (!(record->head.flags & RUSM__MSG_UNCHECKED) &&
        (!peer || !rusm__records_find(&peer->watched, record->head.ref))) {
        sim_fail("a monitor on %llx of %llx, which knows nothing of it",
                 (unsigned long long)owner->pid, (unsigned long long)record->peer);
    }
}

static void check_process(rusm_proc *proc, void *unused) {
    (void)unused;
    struct rusm__extra *extra = atomic_load_explicit(&proc->extra, memory_order_relaxed);
    if (extra) {
        each_record(&extra->links, proc, visit_link);
        each_record(&extra->watched, proc, visit_watched);
        each_record(&extra->watchers, proc, visit_watcher);
    }
    if (!rusm__mailbox_unpark(&proc->mailbox) || !rusm__mailbox_park(&proc->mailbox)) {
        sim_fail("process %llx neither waits nor runs", (unsigned long long)proc->pid);
    }
    if (atomic_load_explicit(&proc->events, memory_order_relaxed)) {
        sim_fail("process %llx sleeps over an event", (unsigned long long)proc->pid);
    }
}

/* ---- schedulers ---- */

static void check_scheduler(struct rusm__sched *sched) {
    if (sched->lane || sched->queue.pinned.first || rusm__run_queue_has_stealable(&sched->queue) ||
        atomic_load_explicit(&sched->inbox, memory_order_relaxed) ||
        atomic_load_explicit(&sched->posts, memory_order_relaxed)) {
        sim_fail("scheduler %u sleeps over work", sched->index);
    }
    if (sched->qs->pending) {
        sim_fail("scheduler %u sleeps over %zu dead objects", sched->index, sched->qs->pending);
    }
    if (rusm__wheel_next_ns(&sched->wheel) != UINT64_MAX) {
        sim_fail("scheduler %u sleeps over a timer", sched->index);
    }
    if (!rusm__wheel_validate(&sched->wheel)) {
        sim_fail("the wheel of scheduler %u is out of order", sched->index);
    }
}

/* ---- room ---- */

static rusm_step rest(rusm_proc *self, void *body) {
    (void)self;
    (void)body;
    return RUSM_STEP_WAIT;
}

/* As many as were promised can be started, wherever the others ended. */
static void check_room(void) {
    static const rusm_body_ops ops = {.name = "rest", .step = rest};
    unsigned living = count_living(), started = 0;
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops};
    rusm_pid pid;
    int status;
    while ((status = rusm_proc_spawn(model.rt, &options, &pid)) == RUSM_OK) {
        started++;
    }
    if (status != RUSM_EPROCS || living + started != model.max_processes) {
        sim_fail("room for %u beside %u, not for %u in all (answer %d)", started, living,
                 model.max_processes, status);
    }
}

void check_quiet(void) {
    rusm__mem_fail_nth(0);
    sim_trace("it is quiet");
    for (uint32_t i = 0; i < model.rt->sched_count; i++) {
        check_scheduler(&model.rt->scheds[i]);
    }
    for (unsigned i = 0; i < model.actor_count; i++) {
        if (lives(&model.actors[i])) {
            check_living(&model.actors[i]);
        }
        for (unsigned j = 0; j < model.actor_count; j++) {
            if (i != j) {
                check_link(i, j);
            }
        }
    }
    check_list();
    rusm__table_each(&model.rt->procs->table, check_process, NULL);
    check_watches();
    check_words();
    check_sums();
    if (sim_chance(30)) {
        check_room();
    }
}

void check_over(void) {
    for (unsigned i = 0; i < model.actor_count; i++) {
        if (lives(&model.actors[i])) {
            sim_fail("actor %u's body outlives the runtime", i);
        }
    }
}
