/* SPDX-License-Identifier: MIT */
/* One child: its record, its start, its end. */
#include <string.h>

#include "rusm/error.h"
#include "rusm/process.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "sup/sup_impl.h"

#define DEFAULT_GRACE_NS (5 * RUSM__SECOND)

/* ---- the record ---- */

bool rusm__child_is_valid(const rusm_child *from) {
    return from && from->size == sizeof(*from) && from->id && from->id[0] && from->start &&
           strnlen(from->id, RUSM__SUP_ID_MAX_BYTES + 1) <= RUSM__SUP_ID_MAX_BYTES &&
           (unsigned)from->restart <= RUSM_RESTART_TEMPORARY &&
           rusm__budget_is_valid(from->budget) && rusm__backoff_is_valid(&from->backoff);
}

struct rusm__child *rusm__child_new(const rusm_child *from) {
    size_t id_bytes = strlen(from->id) + 1;
    struct rusm__child *child = rusm__mem_try_zalloc(sizeof(*child) + id_bytes);
    if (!child)
        return NULL;
    if (from->budget.within_ns) {
        child->own = rusm__budget_new(from->budget);
        if (!child->own) {
            rusm__mem_free(child);
            return NULL;
        }
    }
    rusm__list_init(&child->order);
    memcpy(child->id, from->id, id_bytes);
    child->start = from->start;
    child->arg = from->arg;
    child->drop = from->drop;
    child->restart = from->restart;
    child->grace_ns = from->grace_ns ? from->grace_ns : DEFAULT_GRACE_NS;
    child->backoff = from->backoff;
    child->state = RUSM_CHILD_DOWN;
    return child;
}

void rusm__child_free(struct rusm__child *child, bool dropping) {
    if (dropping && child->drop)
        child->drop(child->arg);
    rusm__budget_free(child->own);
    rusm__mem_free(child);
}

/* ---- in the supervisor ---- */

static struct rusm__child **bucket_of(const rusm_supervisor *sup, uint64_t ref) {
    return &sup->watched[(ref * 0x9e3779b97f4a7c15u >> 32) & (sup->watched_cap - 1)];
}

static void watch(rusm_supervisor *sup, struct rusm__child *child, uint64_t ref) {
    struct rusm__child **bucket = bucket_of(sup, ref);
    child->ref = ref;
    child->chain = *bucket;
    *bucket = child;
}

static void unwatch(rusm_supervisor *sup, struct rusm__child *child) {
    struct rusm__child **where = bucket_of(sup, child->ref);
    while (*where != child)
        where = &(*where)->chain;
    *where = child->chain;
    child->ref = 0;
}

/* Room for one more, so that a start needs no memory here. */
static bool grow(rusm_supervisor *sup) {
    uint32_t cap = sup->watched_cap ? 2 * sup->watched_cap : 4;
    struct rusm__child **watched = rusm__mem_try_zalloc(cap * sizeof(struct rusm__child *));
    if (!watched)
        return false;
    rusm__mem_free(sup->watched);
    sup->watched = watched;
    sup->watched_cap = cap;
    rusm__list_each(node, &sup->children) {
        struct rusm__child *child = rusm__child_at(node);
        if (child->ref)
            watch(sup, child, child->ref);
    }
    return true;
}

int rusm__child_insert(rusm_supervisor *sup, struct rusm__child *child) {
    if (rusm__child_by_id(sup, child->id))
        return RUSM_EEXIST;
    if (sup->child_count == RUSM_CHILDREN_MAX)
        return RUSM_ELIMIT;
    if (sup->child_count == sup->watched_cap && !grow(sup))
        return RUSM_ENOMEM;
    sup->child_count++;
    if (!child->backoff.at_once && !child->backoff.first_ns && !child->backoff.max_ns)
        child->backoff = sup->backoff;
    pthread_mutex_lock(&sup->lock);
    rusm__list_push_back(&sup->children, &child->order);
    pthread_mutex_unlock(&sup->lock);
    return RUSM_OK;
}

void rusm__child_forget(rusm_supervisor *sup, struct rusm__child *child) {
    RUSM_ASSERT(!rusm__child_is_alive(child));
    rusm__child_set(sup, child, RUSM_CHILD_DOWN, 0);
    rusm__child_group(sup, child, false);
    if (sup->cursor == &child->order)
        sup->cursor = child->order.prev;
    sup->child_count--;
    pthread_mutex_lock(&sup->lock);
    rusm__list_unlink(&child->order);
    pthread_mutex_unlock(&sup->lock);
    rusm__child_free(child, true);
}

struct rusm__child *rusm__child_by_ref(const rusm_supervisor *sup, uint64_t ref) {
    struct rusm__child *child = ref && sup->watched_cap ? *bucket_of(sup, ref) : NULL;
    while (child && child->ref != ref)
        child = child->chain;
    return child;
}

struct rusm__child *rusm__child_by_id(const rusm_supervisor *sup, const char *id) {
    rusm__list_each(node, &sup->children) {
        struct rusm__child *child = rusm__child_at(node);
        if (strcmp(child->id, id) == 0)
            return child;
    }
    return NULL;
}

static void count_state(rusm_supervisor *sup, rusm_child_state state, uint32_t one) {
    if (state == RUSM_CHILD_WAITING)
        sup->waiting += one;
    else if (state == RUSM_CHILD_STOPPING)
        sup->stopping += one;
}

void rusm__child_set(rusm_supervisor *sup, struct rusm__child *child, rusm_child_state state,
                     uint64_t at_ns) {
    count_state(sup, child->state, UINT32_MAX); /* one less */
    count_state(sup, state, 1);
    child->at_ns = at_ns;
    pthread_mutex_lock(&sup->lock);
    child->state = state;
    if (!rusm__child_is_alive(child))
        child->pid = 0;
    pthread_mutex_unlock(&sup->lock);
    if (child->ref && !rusm__child_is_alive(child))
        unwatch(sup, child);
}

void rusm__child_group(rusm_supervisor *sup, struct rusm__child *child, bool in_group) {
    sup->group += in_group ? !child->in_group : child->in_group ? UINT32_MAX : 0;
    child->in_group = in_group;
}

/* ---- start ---- */

/* What a start function left: its answer, whom it named, and the monitor of what it spawned with
 * our options, 0 if it did not use them. From here on the child that it named is monitored, whoever
 * made it, or the start has failed and nothing of it stays. */
static int take_over(rusm_supervisor *sup, int code, rusm_pid pid, uint64_t *ref) {
    rusm_pid born = *ref ? rusm_proc_monitored(sup->self, *ref) : 0;
    if (code > 0 || (code == RUSM_OK && (pid == 0 || pid == rusm_proc_pid(sup->self))))
        code = RUSM_EINVAL;
    if (code == RUSM_OK && pid == born)
        return RUSM_OK;
    if (*ref)
        rusm_proc_demonitor(sup->self, *ref);
    if (code == RUSM_OK) {
        code = rusm_proc_monitor(sup->self, pid, ref);
        born = code < 0 ? pid : 0;
    }
    if (born)
        rusm_pid_kill(sup->rt, born);
    return code;
}

int rusm__child_start(rusm_supervisor *sup, struct rusm__child *child) {
    rusm_pid pid = 0;
    uint64_t ref = 0;
    rusm_spawn_options spawn = {.size = sizeof(spawn),
                                .label = child->id,
                                .out_monitor = &ref,
                                .flags = RUSM_SPAWN_STOP_LATE};
    int code = child->start(sup->self, child->arg, &spawn, &pid);
    code = take_over(sup, code, pid, &ref);
    if (code < 0)
        return code;
    watch(sup, child, ref);
    rusm__child_set(sup, child, RUSM_CHILD_UP, rusm_now_ns());
    pthread_mutex_lock(&sup->lock);
    child->pid = pid;
    child->restarts += child->ran;
    pthread_mutex_unlock(&sup->lock);
    child->ran = true;
    return RUSM_OK;
}

/* ---- end ---- */

static void ask(rusm_supervisor *sup, struct rusm__child *child) {
    int code = rusm_pid_exit(sup->rt, child->pid, RUSM_EXIT_KILLED, "shutdown");
    child->asked = code != RUSM_ENOMEM; /* one that has ended needs no asking */
}

static void kill_it(rusm_supervisor *sup, struct rusm__child *child) {
    child->asked = true;
    child->at_ns = UINT64_MAX;
    rusm_pid_kill(sup->rt, child->pid);
}

static uint64_t grace_end(const struct rusm__child *child, uint64_t now_ns) {
    return child->grace_ns < UINT64_MAX - now_ns ? now_ns + child->grace_ns : UINT64_MAX;
}

void rusm__child_stop(rusm_supervisor *sup, struct rusm__child *child, uint64_t now_ns) {
    rusm__child_set(sup, child, RUSM_CHILD_STOPPING, grace_end(child, now_ns));
    if (child->grace_ns == RUSM_GRACE_KILL)
        kill_it(sup, child);
    else
        ask(sup, child);
}

void rusm__child_press(rusm_supervisor *sup, struct rusm__child *child, uint64_t now_ns) {
    if (child->at_ns <= now_ns) {
        rusm__say_killed(sup, child);
        kill_it(sup, child);
    } else if (!child->asked) {
        ask(sup, child);
    }
}
