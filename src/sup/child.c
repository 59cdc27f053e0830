/* SPDX-License-Identifier: MIT */
/* One child: its record, its start, its end. */
#include <assert.h>
#include <string.h>

#include "rusm/error.h"
#include "rusm/process.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "sup/sup_impl.h"

#define DEFAULT_GRACE_NS (5 * RUSM__SECOND)

enum { SLOT_BITS = 16 };
static_assert(RUSM_CHILDREN_MAX < 1u << SLOT_BITS, "a slot fits into a reference");

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

static bool grow(rusm_supervisor *sup) {
    uint32_t cap = sup->slot_cap ? 2 * sup->slot_cap : 4;
    struct rusm__child **slots =
        rusm__mem_try_realloc(sup->slots, cap * sizeof(struct rusm__child *));
    if (!slots)
        return false;
    memset(slots + sup->slot_cap, 0, (cap - sup->slot_cap) * sizeof(struct rusm__child *));
    sup->slots = slots;
    sup->slot_cap = cap;
    return true;
}

/* Few are free when the table is full, and the search begins where the last one may have ended:
 * removing children is what makes it long, and it has at most RUSM_CHILDREN_MAX steps. */
static uint32_t free_slot(const rusm_supervisor *sup) {
    uint32_t slot = sup->child_count;
    while (sup->slots[slot % sup->slot_cap])
        slot++;
    return slot % sup->slot_cap;
}

int rusm__child_insert(rusm_supervisor *sup, struct rusm__child *child) {
    if (rusm__child_by_id(sup, child->id))
        return RUSM_EEXIST;
    if (sup->child_count == RUSM_CHILDREN_MAX)
        return RUSM_ELIMIT;
    if (sup->child_count == sup->slot_cap && !grow(sup))
        return RUSM_ENOMEM;
    child->slot = free_slot(sup);
    sup->slots[child->slot] = child;
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
    sup->slots[child->slot] = NULL;
    sup->child_count--;
    pthread_mutex_lock(&sup->lock);
    rusm__list_unlink(&child->order);
    pthread_mutex_unlock(&sup->lock);
    rusm__child_free(child, true);
}

struct rusm__child *rusm__child_by_ref(const rusm_supervisor *sup, uint64_t ref) {
    uint32_t slot = ref & ((1u << SLOT_BITS) - 1);
    struct rusm__child *child = slot < sup->slot_cap ? sup->slots[slot] : NULL;
    return child && child->ref == ref && rusm__child_is_alive(child) ? child : NULL;
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
}

void rusm__child_group(rusm_supervisor *sup, struct rusm__child *child, bool in_group) {
    sup->group += in_group ? !child->in_group : child->in_group ? UINT32_MAX : 0;
    child->in_group = in_group;
}

/* ---- start ---- */

int rusm__child_start(rusm_supervisor *sup, struct rusm__child *child) {
    rusm_pid pid = 0;
    child->ref = ++sup->starts << SLOT_BITS | child->slot;
    rusm_spawn_options spawn = {.size = sizeof(spawn),
                                .label = child->id,
                                .monitor_by = rusm_proc_pid(sup->self),
                                .monitor_ref = child->ref};
    int code = child->start(sup->self, child->arg, &spawn, &pid);
    if (code < 0)
        return code;
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
