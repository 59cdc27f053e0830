/* SPDX-License-Identifier: MIT */
/* The process: how it begins, what a step does, how it ends. */
#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "sup/sup_impl.h"

#define DEFAULT_RESTARTS  3u
#define DEFAULT_WITHIN_NS (5 * RUSM__SECOND)

enum { NAME_MAX_BYTES = 255, MAIL_PER_STEP = 256 };

/* ---- a step ---- */

static void begin(rusm_supervisor *sup) {
    sup->begun = true;
    rusm_proc_trap_exit(sup->self, true);
    int code = sup->parent ? rusm_proc_link(sup->self, sup->parent) : RUSM_OK;
    if (code == RUSM_OK) {
        rusm__plan_first(sup);
        return;
    }
    pthread_mutex_lock(&sup->lock);
    sup->start_code = code;
    pthread_mutex_unlock(&sup->lock);
    rusm__plan_end(sup, RUSM_EXIT_CRASHED, "no memory for the link to its parent");
}

/* The parent has ended, or whoever started us or a plain thread wants us to end. What others'
 * ends have to say to those who are linked to them does not concern a supervisor. */
static void take_exit(rusm_supervisor *sup, rusm_msg *msg) {
    rusm_pid from = rusm_msg_from(msg);
    if (from != 0 && from != sup->parent && from != sup->watcher)
        return;
    rusm_exit_kind kind = rusm_msg_exit_kind(msg);
    if (kind == RUSM_EXIT_NOPROC) {
        rusm__plan_end(sup, RUSM_EXIT_KILLED, "its parent had ended");
        return;
    }
    char text[256];
    size_t len = rusm_msg_len(msg) < sizeof(text) - 1 ? rusm_msg_len(msg) : sizeof(text) - 1;
    if (len)
        memcpy(text, rusm_msg_data(msg), len);
    text[len] = '\0';
    rusm__plan_end(sup, kind, text);
}

static void take_one(rusm_supervisor *sup, rusm_msg *msg) {
    struct rusm__child *child;
    switch (rusm_msg_get_kind(msg)) {
    case RUSM_MSG_DATA:
        rusm__request_take(sup, msg);
        return;
    case RUSM_MSG_DOWN:
        child = rusm__child_by_ref(sup, rusm_msg_ref(msg));
        if (child)
            rusm__plan_down(sup, child, msg);
        break;
    case RUSM_MSG_EXIT:
        take_exit(sup, msg);
        break;
    case RUSM_MSG_STREAM: /* freed unread, which tells its writer */
        break;
    }
    rusm_msg_free(msg);
}

/* True: there may be more. */
static bool take_mail(rusm_supervisor *sup) {
    for (unsigned i = 0; i < MAIL_PER_STEP; i++) {
        rusm_msg *msg = rusm_proc_receive(sup->self);
        if (!msg)
            return false;
        take_one(sup, msg);
    }
    return true;
}

static rusm_step end(rusm_supervisor *sup) {
    rusm_proc_set_exit(sup->self, sup->ending.kind, sup->ending.text);
    return RUSM_STEP_EXIT;
}

/* Without memory for a timer it looks again at its next turn. */
static rusm_step wait_until(rusm_supervisor *sup, uint64_t wake_ns) {
    bool now = wake_ns != UINT64_MAX && rusm_now_ns() >= wake_ns;
    return now || rusm_proc_wake_at(sup->self, wake_ns) < 0 ? RUSM_STEP_AGAIN : RUSM_STEP_WAIT;
}

static rusm_step supervisor_step(rusm_proc *self, void *body) {
    rusm_supervisor *sup = body;
    uint64_t wake_ns = UINT64_MAX;
    sup->self = self;
    if (!sup->begun)
        begin(sup);
    bool again = take_mail(sup);
    if (sup->look)
        rusm__request_work(sup);
    rusm_step step = rusm__plan_go_on(sup, rusm_now_ns(), &wake_ns);
    if (step == RUSM_STEP_EXIT)
        return end(sup);
    /* A group that is complete again lets requests through that had to wait for it. */
    bool ending = sup->ending.begun;
    if (sup->look && (rusm__request_work(sup) || sup->ending.begun != ending))
        again = true;
    return again || step == RUSM_STEP_AGAIN ? RUSM_STEP_AGAIN : wait_until(sup, wake_ns);
}

/* It is killed, and so are its children: nobody is left to wait for them. */
static rusm_step supervisor_unwind(rusm_proc *self, void *body) {
    rusm_supervisor *sup = body;
    for (struct rusm__list *node = sup->children.prev; node != &sup->children; node = node->prev) {
        if (rusm__child_is_alive(rusm__child_at(node)))
            rusm_pid_kill(rusm_proc_runtime(self), rusm__child_at(node)->pid);
    }
    return RUSM_STEP_EXIT;
}

static void free_children(rusm_supervisor *sup, bool dropping) {
    for (;;) {
        pthread_mutex_lock(&sup->lock);
        struct rusm__list *node = rusm__list_pop_front(&sup->children);
        pthread_mutex_unlock(&sup->lock);
        if (!node)
            return;
        rusm__child_free(rusm__child_at(node), dropping);
    }
}

static void supervisor_drop(void *body) {
    rusm_supervisor *sup = body;
    free_children(sup, true);
    rusm__request_end(sup);
    rusm__supervisor_unref(sup);
}

static const rusm_body_ops supervisor_ops = {
    .name = "supervisor",
    .step = supervisor_step,
    .unwind = supervisor_unwind,
    .drop = supervisor_drop,
};

/* ---- how it comes to be ---- */

void rusm__supervisor_unref(rusm_supervisor *sup) {
    /* release: what we did with it; acquire: what the other did, before it is freed */
    if (atomic_fetch_sub_explicit(&sup->refs, 1, memory_order_acq_rel) != 1)
        return;
    free_children(sup, false); /* only of one that was never started */
    rusm__budget_free(sup->budget);
    pthread_cond_destroy(&sup->answered);
    pthread_mutex_destroy(&sup->lock);
    rusm__mem_free(sup->watched);
    rusm__mem_free(sup->name);
    rusm__mem_free(sup);
}

/* NULL: no memory. */
static rusm_supervisor *supervisor_new(void) {
    rusm_supervisor *sup = rusm__mem_try_zalloc(sizeof(*sup));
    if (!sup)
        return NULL;
    pthread_mutex_init(&sup->lock, NULL);
    rusm__cond_init_monotonic(&sup->answered);
    atomic_init(&sup->refs, 1);
    rusm__list_init(&sup->requests);
    rusm__list_init(&sup->children);
    sup->cursor = &sup->children;
    rusm__random_seed(&sup->random, rusm__random_system_u64());
    return sup;
}

static int take_options(rusm_supervisor *sup, const rusm_supervisor_options *opts) {
    const char *name = opts->name ? opts->name : "supervisor";
    rusm_budget budget = opts->budget;
    if (!budget.within_ns)
        budget = (rusm_budget){DEFAULT_RESTARTS, DEFAULT_WITHIN_NS};
    sup->name = rusm__mem_try_strndup(name, strnlen(name, NAME_MAX_BYTES));
    sup->budget = rusm__budget_new(budget);
    sup->strategy = opts->strategy;
    sup->parent = opts->parent;
    sup->watcher = opts->spawn.out_monitor ? rusm_pid_self(sup->rt) : opts->spawn.monitor_by;
    sup->backoff = opts->backoff;
    return sup->name && sup->budget ? RUSM_OK : RUSM_ENOMEM;
}

static int take_children(rusm_supervisor *sup, const rusm_supervisor_options *opts) {
    for (size_t i = 0; i < opts->child_count; i++) {
        struct rusm__child *child = rusm__child_new(&opts->children[i]);
        if (!child)
            return RUSM_ENOMEM;
        int code = rusm__child_insert(sup, child);
        if (code < 0) {
            rusm__child_free(child, false);
            return code == RUSM_ENOMEM ? code : RUSM_EINVAL;
        }
    }
    return RUSM_OK;
}

static int spawn(rusm_supervisor *sup, const rusm_supervisor_options *opts, rusm_pid *out_pid) {
    rusm_spawn_options spawn = opts->spawn;
    spawn.size = sizeof(spawn);
    spawn.ops = &supervisor_ops;
    spawn.body = sup;
    spawn.label = sup->name;
    /* With nobody above, it is told first when the runtime stops, and its children end in order. */
    if (!sup->parent && !(spawn.flags & RUSM_SPAWN_STOP_LATE))
        spawn.flags |= RUSM_SPAWN_STOP_EARLY;
    /* The process has a reference of its own, and may be gone when the spawn returns. */
    atomic_store_explicit(&sup->refs, 2, memory_order_relaxed); /* nobody else knows it yet */
    int code = rusm_proc_spawn(sup->rt, &spawn, out_pid);
    if (code < 0)
        atomic_store_explicit(&sup->refs, 1, memory_order_relaxed);
    return code;
}

/* Nothing that is given is passed over: what is set here must be empty there. */
static bool is_valid_spawn(const rusm_spawn_options *spawn) {
    return (spawn->size == 0 || spawn->size == sizeof(*spawn)) && !spawn->ops && !spawn->body &&
           !spawn->first && !(spawn->flags & RUSM_SPAWN_LINK);
}

static bool is_valid(const rusm_supervisor_options *opts) {
    if (!opts || opts->size != sizeof(*opts) || (unsigned)opts->strategy > RUSM_REST_FOR_ONE ||
        opts->child_count > RUSM_CHILDREN_MAX || (opts->child_count && !opts->children) ||
        !rusm__budget_is_valid(opts->budget) || !rusm__backoff_is_valid(&opts->backoff) ||
        !is_valid_spawn(&opts->spawn))
        return false;
    for (size_t i = 0; i < opts->child_count; i++) {
        if (!rusm__child_is_valid(&opts->children[i]))
            return false;
    }
    return true;
}

int rusm_supervisor_start(rusm_runtime *rt, const rusm_supervisor_options *opts, rusm_pid *out_pid,
                          rusm_supervisor **out_supervisor) {
    if (out_supervisor)
        *out_supervisor = NULL;
    if (!out_pid)
        return RUSM_EINVAL;
    *out_pid = 0;
    if (!rt || !is_valid(opts))
        return RUSM_EINVAL;
    rusm_supervisor *sup = supervisor_new();
    if (!sup)
        return RUSM_ENOMEM;
    sup->rt = rt;
    int code = take_options(sup, opts);
    if (code == RUSM_OK)
        code = take_children(sup, opts);
    if (code == RUSM_OK)
        code = spawn(sup, opts, out_pid);
    sup->pid = *out_pid;
    if (code == RUSM_OK && out_supervisor)
        *out_supervisor = sup;
    else
        rusm__supervisor_unref(sup);
    return code;
}

/* ---- what others see ---- */

void rusm_supervisor_free(rusm_supervisor *sup) {
    if (sup)
        rusm__supervisor_unref(sup);
}

rusm_pid rusm_supervisor_pid(const rusm_supervisor *sup) {
    return sup ? sup->pid : 0;
}

static void describe(const struct rusm__child *child, rusm_child_info *info) {
    memcpy(info->id, child->id, strlen(child->id) + 1);
    info->pid = child->pid;
    info->state = child->state;
    info->restart = child->restart;
    info->restarts = child->restarts;
}

size_t rusm_supervisor_children(rusm_supervisor *sup, rusm_child_info *out_infos, size_t cap) {
    size_t count = 0;
    if (!sup)
        return 0;
    pthread_mutex_lock(&sup->lock);
    rusm__list_each(node, &sup->children) {
        if (out_infos && count < cap)
            describe(rusm__child_at(node), &out_infos[count]);
        count++;
    }
    pthread_mutex_unlock(&sup->lock);
    return count;
}
