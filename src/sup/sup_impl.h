/* SPDX-License-Identifier: MIT */
/* The parts of a supervisor.
 *
 *   restart.c     what follows when a child ended: a pure function
 *   child.c       one child: its record, its start, its end
 *   plan.c        several children: who is to be stopped and started next, and what to wait for
 *   request.c     what other processes and threads ask for
 *   supervisor.c  the process: mail in, plan on, end
 *   say.c         the lines in the log
 *
 * A child:
 *
 *              start                 fell, granted                     time over
 *     DOWN -----------> UP ------------------------------> WAITING ----------------> UP
 *      ^                | \ asked to end, or killed           |
 *      |                |  `---------> STOPPING               | terminated, removed
 *      |   fell, stays down              | its DOWN           |
 *      +----------------+----------------+--------------------+      GIVEN_UP: as DOWN
 *
 * Each start has a reference of its own, that of the monitor, so a DOWN of an earlier process is
 * never taken for the present one's. Whatever a start function does or forgets, a child that is UP
 * is monitored: its DOWN will come. Whatever arrives is noted in the child at once; what is to be
 * done about it is found in the children afterwards, so nothing is lost while something else is
 * waited for.
 *
 * One object holds both the body of the process and what others see of it (the handle), and lives
 * as long as either. Fields belong to the process, unless they are marked. */
#ifndef RUSM__SUP_SUP_IMPL_H
#define RUSM__SUP_SUP_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "rusm/msg.h"
#include "rusm/supervisor.h"

#include "base/list.h"
#include "base/random.h"
#include "sup/restart.h"

#define RUSM__SUP_ID_MAX_BYTES 255u

struct rusm__child {
    struct rusm__list order; /* among the children; changed under the lock */
    rusm_child_start start;
    void *arg;
    void (*drop)(void *arg);
    rusm_restart restart;
    uint64_t grace_ns;
    rusm_backoff backoff;
    struct rusm__budget *own; /* NULL: none */
    /* Changed under the lock, which is what makes it safe to look at from outside. */
    rusm_child_state state;
    rusm_pid pid;
    uint64_t restarts;
    uint64_t ref;              /* of the monitor on its process, 0 = none */
    struct rusm__child *chain; /* in rusm_supervisor.watched */
    uint64_t at_ns;            /* UP: since; STOPPING: when to kill; WAITING: when to start */
    uint32_t streak;           /* restarts in a row */
    bool in_group; /* waits to be started, with others, by a group restart or the first start */
    bool asked;    /* STOPPING: the signal to end was sent */
    bool ran;      /* it was started before */
    char id[];     /* terminated */
};

enum rusm__ask { RUSM__READY, RUSM__ADD, RUSM__TERMINATE, RUSM__RESTART, RUSM__REMOVE, RUSM__STOP };

/* All of it is guarded by the supervisor's lock, but what is set when it is made. */
struct rusm__request {
    struct rusm__list node;
    unsigned refs; /* who asked; the supervisor, from queueing to answering */
    bool queued;   /* it went to the supervisor and was not taken back */
    enum rusm__ask ask;
    struct rusm__child *child; /* ADD: the new one; owned until it is taken or dropped */
    rusm_pid from;             /* the fiber that asks, 0 = a thread */
    uint64_t ticket;           /* what its call says */
    bool armed;                /* its call has arrived; threads have none */
    rusm_msg *call;            /* owned; to be replied to */
    rusm_msg *reply;           /* owned; made with the request, so that an answer needs no memory */
    bool done;
    int code;
    char id[RUSM__SUP_ID_MAX_BYTES + 1];
};

/* How the supervisor is to end. */
struct rusm__ending {
    bool begun;
    rusm_exit_kind kind;
    char text[512];
};

struct rusm_supervisor {
    atomic_uint refs;
    rusm_runtime *rt;
    rusm_pid pid;    /* set before the handle is handed out */
    rusm_proc *self; /* while a step runs */

    pthread_mutex_t lock;
    pthread_cond_t answered;    /* some request is done */
    struct rusm__list requests; /* guarded by lock, as the next four */
    uint64_t tickets;
    bool ended;
    int start_code;             /* of the first start that failed */
    struct rusm__list children; /* the process reads it without the lock */

    char *name;
    rusm_strategy strategy;
    rusm_pid parent;
    rusm_pid watcher; /* who monitors it from the start: a supervisor above */
    rusm_backoff backoff;
    struct rusm__budget *budget;
    struct rusm__random random;
    bool begun;
    bool started;                 /* the first start is through */
    bool look;                    /* requests may have come */
    struct rusm__child **watched; /* those with a monitor, by its reference: a chained hash table */
    uint32_t watched_cap;         /* a power of two, or 0 */
    uint32_t child_count;
    uint32_t waiting;              /* children in this state */
    uint32_t stopping;             /* children in this state */
    uint32_t group;                /* children that are marked in_group */
    uint64_t group_at_ns;          /* when the group may be started */
    struct rusm__list *cursor;     /* everything to the right of it is down, where a stop goes on */
    struct rusm__request *current; /* TERMINATE: waits for its child's end; owned */
    struct rusm__child *terminating; /* that child */
    struct rusm__ending ending;
};

/* ---- child.c ---- */

/* Is it in order? */
bool rusm__child_is_valid(const rusm_child *from);
/* A record of its own, in state DOWN. NULL: no memory. */
struct rusm__child *rusm__child_new(const rusm_child *from);
/* Free it; drops its argument if `dropping`. */
void rusm__child_free(struct rusm__child *child, bool dropping);
/* Into the supervisor, at the right. RUSM_ENOMEM, RUSM_EEXIST, RUSM_ELIMIT. */
int rusm__child_insert(rusm_supervisor *sup, struct rusm__child *child);
/* Out of the supervisor, and gone. It is not up. */
void rusm__child_forget(rusm_supervisor *sup, struct rusm__child *child);
/* NULL: there is none, or no longer. */
struct rusm__child *rusm__child_by_ref(const rusm_supervisor *sup, uint64_t ref);
struct rusm__child *rusm__child_by_id(const rusm_supervisor *sup, const char *id);
void rusm__child_set(rusm_supervisor *sup, struct rusm__child *child, rusm_child_state state,
                     uint64_t at_ns);
/* Mark it as part of the group, or not. */
void rusm__child_group(rusm_supervisor *sup, struct rusm__child *child, bool in_group);
/* Start its process. The error of its start function. */
int rusm__child_start(rusm_supervisor *sup, struct rusm__child *child);
/* Ask it to end; from now on it is STOPPING. It is UP. */
void rusm__child_stop(rusm_supervisor *sup, struct rusm__child *child, uint64_t now_ns);
/* STOPPING: ask once more if the signal could not be sent, kill when its time is over. */
void rusm__child_press(rusm_supervisor *sup, struct rusm__child *child, uint64_t now_ns);

static inline struct rusm__child *rusm__child_at(struct rusm__list *node) {
    return rusm__list_entry(node, struct rusm__child, order);
}

static inline bool rusm__child_is_alive(const struct rusm__child *child) {
    return child->state == RUSM_CHILD_UP || child->state == RUSM_CHILD_STOPPING;
}

/* ---- plan.c ---- */

/* All children are to be started. */
void rusm__plan_first(rusm_supervisor *sup);
/* The child's process has ended. */
void rusm__plan_down(rusm_supervisor *sup, struct rusm__child *child, rusm_msg *down);
/* The supervisor is to end; the first reason holds. */
void rusm__plan_end(rusm_supervisor *sup, rusm_exit_kind kind, const char *text);
/* Do what can be done now. EXIT: everything is down and it is to end. AGAIN: there is more. WAIT:
 * *out_wake_ns says until when, UINT64_MAX for mail only. */
rusm_step rusm__plan_go_on(rusm_supervisor *sup, uint64_t now_ns, uint64_t *out_wake_ns);

/* ---- request.c ---- */

/* A message that somebody sent: the call of a request, a knock, or noise. Takes msg. */
void rusm__request_take(rusm_supervisor *sup, rusm_msg *msg);
/* Do what is asked for and can be done now. True: something was done. */
bool rusm__request_work(rusm_supervisor *sup);
/* The child that was to be terminated is down. */
void rusm__request_terminated(rusm_supervisor *sup);
/* The supervisor has ended: answer everybody. */
void rusm__request_end(rusm_supervisor *sup);

/* ---- supervisor.c ---- */

void rusm__supervisor_unref(rusm_supervisor *sup);

/* ---- say.c ---- */

/* Why a child is down: `code` of a failed start, or kind and text of its end. */
struct rusm__why {
    rusm_exit_kind kind;
    int code;
    const char *text; /* not terminated */
    size_t len;
};

void rusm__say_restart(const rusm_supervisor *sup, const struct rusm__child *child,
                       const struct rusm__why *why, uint64_t delay_ns);
void rusm__say_give_up(const rusm_supervisor *sup, const struct rusm__child *child,
                       const struct rusm__why *why);
void rusm__say_no_start(const rusm_supervisor *sup, const struct rusm__child *child, int code);
void rusm__say_killed(const rusm_supervisor *sup, const struct rusm__child *child);

#endif
