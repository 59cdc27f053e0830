/* SPDX-License-Identifier: MIT */
/* The life of a runtime, and its counters. */
#include "rusm/runtime.h"

#include <sched.h>
#include <time.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proc/proc_impl.h"

enum {
    MAX_SCHEDULERS = 250,
    DEFAULT_PROCESSES = 4194304,
    DEFAULT_MESSAGES = 1048576,
    DEFAULT_WATCHDOG_MS = 250
};
static const uint64_t DEFAULT_BYTES = 256ull << 20;

const char *rusm_exit_kind_name(rusm_exit_kind kind) {
    static const char *const names[] = {"normal", "killed", "crashed", "noproc"};
    return kind >= RUSM_EXIT_NORMAL && kind <= RUSM_EXIT_NOPROC ? names[kind] : "unknown";
}

static uint32_t usable_cores(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > MAX_SCHEDULERS ? MAX_SCHEDULERS : (uint32_t)count;
}

static void free_locals(struct rusm__procs *procs, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        rusm__timer_slab_fini(&procs->locals[i].timers);
        rusm__stack_cache_fini(&procs->locals[i].stacks, &procs->stacks);
    }
    rusm__stack_pool_fini(&procs->stacks);
    rusm__mem_free(procs->locals);
}

static int init_procs(rusm_runtime *rt, const rusm_runtime_options *opts, uint32_t count) {
    struct rusm__procs *procs = rt->procs;
    procs->default_messages = opts->mailbox_messages ? opts->mailbox_messages : DEFAULT_MESSAGES;
    procs->default_bytes = opts->mailbox_bytes ? opts->mailbox_bytes : DEFAULT_BYTES;
    procs->default_policy =
        opts->mailbox_policy ? (uint8_t)opts->mailbox_policy : RUSM_MAILBOX_REFUSE;
    pthread_mutex_init(&procs->outside_lock, NULL);
    rusm__stack_pool_init(&procs->stacks);
    procs->locals = rusm__mem_try_zalloc((count + 1) * sizeof(*procs->locals));
    if (!procs->locals) {
        return RUSM_ENOMEM;
    }
    uint32_t most = opts->max_processes ? opts->max_processes : DEFAULT_PROCESSES;
    int status = rusm__table_init(&procs->table, most, count + 1);
    if (status) {
        return status;
    }
    for (uint32_t i = 0; i <= count; i++) {
        rusm__table_add_cache(&procs->table, &procs->locals[i].slots);
    }
    status = rusm__registry_init(&procs->names, &rt->qs, true);
    if (status) {
        goto fail_names;
    }
    status = rusm__registry_init(&procs->tags, &rt->qs, false);
    if (status) {
        goto fail_tags;
    }
    return RUSM_OK;
fail_tags:
    rusm__registry_fini(&procs->names);
fail_names:
    rusm__table_fini(&procs->table);
    return status;
}

static int start(rusm_runtime *rt, uint32_t count, uint64_t watchdog_ns) {
    static const struct rusm__sched_hooks hooks = {
        .run = rusm__proc_run, .timer = rusm__timer_fire, .watchdog = rusm__watchdog_wake};
    void *locals[MAX_SCHEDULERS];
    for (uint32_t i = 0; i < count; i++) {
        locals[i] = &rt->procs->locals[i];
    }
    int status = rusm__scheds_start(rt, count, &hooks, locals);
    if (status == RUSM_OK) {
        status = rusm__watchdog_start(rt, watchdog_ns);
        if (status) {
            rusm__scheds_stop(rt);
        }
    }
    return status;
}

static uint64_t watchdog_ns(const rusm_runtime_options *opts) {
    uint32_t ms = opts->watchdog_ms ? opts->watchdog_ms : DEFAULT_WATCHDOG_MS;
    return ms == RUSM_WATCHDOG_OFF ? 0 : ms * RUSM__MS;
}

int rusm_runtime_start(const rusm_runtime_options *opts, rusm_runtime **out_rt) {
    static const rusm_runtime_options defaults = {.size = sizeof(defaults)};
    opts = opts ? opts : &defaults;
    *out_rt = NULL;
    if (opts->size != sizeof(*opts) || opts->schedulers > MAX_SCHEDULERS ||
        opts->max_processes > (1u << 30) || opts->mailbox_policy > RUSM_MAILBOX_EXIT ||
        opts->mailbox_messages > RUSM_MAILBOX_MAX_MESSAGES ||
        opts->mailbox_bytes > RUSM_MAILBOX_MAX_BYTES) {
        return RUSM_EINVAL;
    }
    uint32_t count = opts->schedulers ? opts->schedulers : usable_cores();
    rusm_runtime *rt = rusm__mem_try_zalloc_aligned(sizeof(*rt), RUSM__CACHELINE);
    struct rusm__procs *procs = rusm__mem_try_zalloc_aligned(sizeof(*procs), RUSM__CACHELINE);
    int status = rt && procs ? RUSM_OK : RUSM_ENOMEM;
    if (status == RUSM_OK) {
        rt->procs = procs;
        status = init_procs(rt, opts, count);
    }
    if (status) {
        goto fail;
    }
    status = start(rt, count, watchdog_ns(opts));
    if (status) {
        rusm__registry_fini(&procs->tags);
        rusm__registry_fini(&procs->names);
        rusm__table_fini(&procs->table);
        goto fail;
    }
    *out_rt = rt;
    return RUSM_OK;
fail:
    if (procs) {
        rusm__mem_free(procs->locals);
    }
    rusm__mem_free(procs);
    rusm__mem_free(rt);
    return status;
}

static void kill_one(rusm_proc *proc, void *rt) {
    rusm_pid_kill(rt, proc->pid);
}

/* Kill what is there until nothing is: a process may have been started just before `closing`. */
static void kill_all(rusm_runtime *rt) {
    const struct timespec pause = {.tv_nsec = (long)RUSM__MS};
    while (rusm_runtime_process_count(rt) > 0) {
        rusm__qs_enter(&rt->qs);
        rusm__table_each(&rt->procs->table, kill_one, rt);
        rusm__qs_exit(&rt->qs);
        nanosleep(&pause, NULL);
    }
}

/* ---- winding up ---- */

struct winding_up {
    rusm_runtime *rt;
    enum rusm__stop_turn turn;
    rusm_pid *pids; /* that were told */
    size_t count;
    size_t cap;
};

static bool make_room(struct winding_up *told) {
    if (told->count < told->cap) {
        return true;
    }
    size_t cap = told->cap ? 2 * told->cap : 64;
    rusm_pid *pids = rusm__mem_try_realloc(told->pids, cap * sizeof(*pids));
    if (pids) {
        told->pids = pids;
        told->cap = cap;
    }
    return pids != NULL;
}

/* Who cannot be told for lack of memory, or did not trap exits yet, may be in the next turn; at
 * last it is killed with the rest. All others of earlier turns have ended. */
static void tell_one(rusm_proc *proc, void *arg) {
    struct winding_up *told = arg;
    if (proc->stop_turn <= told->turn &&
        atomic_load_explicit(&proc->trap_exit, memory_order_relaxed) && make_room(told) &&
        rusm_pid_exit(told->rt, proc->pid, RUSM_EXIT_KILLED, "shutdown") == RUSM_OK) {
        told->pids[told->count++] = proc->pid;
    }
}

static bool all_ended(struct winding_up *told) {
    while (told->count && !rusm_pid_is_alive(told->rt, told->pids[told->count - 1])) {
        told->count--;
    }
    return told->count == 0;
}

static void tell_turn(struct winding_up *told) {
    rusm__qs_enter(&told->rt->qs);
    rusm__table_each(&told->rt->procs->table, tell_one, told);
    rusm__qs_exit(&told->rt->qs);
}

static void wind_up(rusm_runtime *rt, uint64_t grace_ns) {
    const struct timespec pause = {.tv_nsec = (long)RUSM__MS};
    struct winding_up told = {.rt = rt};
    uint64_t begin = rusm__clock_ns();
    for (unsigned turn = RUSM__STOP_EARLY; turn <= RUSM__STOP_LATE && told.count == 0; turn++) {
        told.turn = (enum rusm__stop_turn)turn;
        tell_turn(&told);
        while (!all_ended(&told) && rusm__clock_ns() - begin < grace_ns) {
            nanosleep(&pause, NULL);
        }
    }
    rusm__mem_free(told.pids);
}

/* ---- the end ---- */

static void finish(rusm_runtime *rt) {
    struct rusm__procs *procs = rt->procs;
    kill_all(rt);
    rusm__watchdog_stop(rt);
    uint32_t count = rt->sched_count;
    rusm__scheds_stop(rt);
    rusm__watchdog_fini(rt);
    rusm__registry_fini(&procs->tags);
    rusm__registry_fini(&procs->names);
    rusm__table_fini(&procs->table);
    free_locals(procs, count + 1);
    pthread_mutex_destroy(&procs->outside_lock);
    rusm__mem_free(procs);
    rusm__mem_free(rt);
}

int rusm_runtime_stop(rusm_runtime *rt) {
    if (!rt) {
        return RUSM_EINVAL;
    }
    if (rusm__sched_current_of(rt)) {
        return RUSM_ESTATE;
    }
    int alive = (int)rusm_runtime_process_count(rt); /* at most 2^30 */
    atomic_store_explicit(&rt->procs->closing, true, memory_order_seq_cst);
    finish(rt);
    return alive;
}

int rusm_runtime_stop_within(rusm_runtime *rt, uint64_t grace_ns, size_t *out_killed) {
    if (out_killed) {
        *out_killed = 0;
    }
    if (!rt) {
        return RUSM_EINVAL;
    }
    if (rusm__sched_current_of(rt)) {
        return RUSM_ESTATE;
    }
    atomic_store_explicit(&rt->procs->closing, true, memory_order_seq_cst);
    wind_up(rt, grace_ns);
    if (out_killed) {
        *out_killed = rusm_runtime_process_count(rt);
    }
    finish(rt);
    return RUSM_OK;
}

int rusm_runtime_get_stats(const rusm_runtime *rt, rusm_runtime_stats *stats) {
    if (!stats || stats->size != sizeof(*stats)) {
        return RUSM_EINVAL;
    }
    *stats = (rusm_runtime_stats){.size = sizeof(*stats), .schedulers = rt->sched_count};
    /* Ends first: a process that starts and ends meanwhile must not look like minus one. acquire:
     * see rusm__count. */
    for (uint32_t i = 0; i <= rt->sched_count; i++) {
        const struct rusm__proc_local *local = &rt->procs->locals[i];
        stats->exited += atomic_load_explicit(&local->exited, memory_order_acquire);
    }
    for (uint32_t i = 0; i <= rt->sched_count; i++) {
        const struct rusm__proc_local *local = &rt->procs->locals[i];
        stats->spawned += atomic_load_explicit(&local->spawned, memory_order_acquire);
        stats->sent += atomic_load_explicit(&local->sent, memory_order_relaxed);
        stats->refused += atomic_load_explicit(&local->refused, memory_order_relaxed);
        stats->dropped += atomic_load_explicit(&local->dropped, memory_order_relaxed);
        stats->displaced += atomic_load_explicit(&local->displaced, memory_order_relaxed);
    }
    stats->stuck = atomic_load_explicit(&rt->procs->watchdog.reported, memory_order_relaxed);
    for (uint32_t i = 0; i < rt->sched_count; i++) {
        stats->steals += rusm__sched_steals(rusm__sched_get(rt, i));
        stats->sleeps += rusm__sched_sleeps(rusm__sched_get(rt, i));
    }
    return RUSM_OK;
}

bool rusm_runtime_is_scheduler(void) {
    return rusm__sched_current() != NULL;
}

size_t rusm_runtime_process_count(const rusm_runtime *rt) {
    rusm_runtime_stats stats = {.size = sizeof(stats)};
    int status = rusm_runtime_get_stats(rt, &stats);
    RUSM_ASSERT(status == RUSM_OK);
    (void)status;
    return (size_t)(stats.spawned - stats.exited);
}
