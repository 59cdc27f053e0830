/* SPDX-License-Identifier: MIT */
/* What other processes and threads ask a supervisor for.
 *
 *     asker                                        supervisor
 *     request into the queue, under the lock
 *     thread: sends an empty message, waits  ───►  looks into the queue
 *     fiber: calls with the ticket           ───►  arms the request of that ticket
 *     reads the answer, under the lock       ◄───  answers: condition, or reply to the call
 *
 * The request itself never travels in a message, for anybody may send one to a supervisor: a forged
 * ticket has no effect unless it comes from the fiber that asked. A message that is refused
 * because the mailbox is full costs nothing when a thread asks: there is mail then, so the
 * supervisor will run and look. */
#include <string.h>

#include "rusm/error.h"
#include "rusm/fiber.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "sup/sup_impl.h"

/* ---- both sides ---- */

/* Under the lock. */
static void unref(struct rusm__request *request) {
    if (--request->refs == 0) {
        rusm_msg_free(request->reply);
        rusm__mem_free(request);
    }
}

/* ---- who asks ---- */

static struct rusm__request *request_new(enum rusm__ask ask, const char *id) {
    struct rusm__request *request = rusm__mem_try_zalloc(sizeof(*request));
    if (request) {
        rusm__list_init(&request->node);
        request->refs = 1;
        request->ask = ask;
        request->code = RUSM_ETIMEDOUT;
        if (id)
            memcpy(request->id, id, strlen(id) + 1);
    }
    return request;
}

/* What a supervisor that has ended answers. Under the lock. */
static int answer_of_ended(const rusm_supervisor *sup, enum rusm__ask ask) {
    if (ask == RUSM__STOP)
        return RUSM_OK;
    return ask == RUSM__READY && sup->start_code ? sup->start_code : RUSM_ENOPROC;
}

/* False: the supervisor has ended; the request is answered. */
static bool enqueue(rusm_supervisor *sup, struct rusm__request *request) {
    pthread_mutex_lock(&sup->lock);
    bool alive = !sup->ended;
    if (alive) {
        request->ticket = ++sup->tickets;
        request->refs++;
        request->queued = true;
        rusm__list_push_back(&sup->requests, &request->node);
    } else {
        request->done = true;
        request->code = answer_of_ended(sup, request->ask);
    }
    pthread_mutex_unlock(&sup->lock);
    return alive;
}

/* Until it is answered or the deadline has passed. */
static void wait_in_thread(rusm_supervisor *sup, struct rusm__request *request,
                           uint64_t deadline_ns) {
    pthread_mutex_lock(&sup->lock);
    while (!request->done && rusm__cond_wait_until(&sup->answered, &sup->lock, deadline_ns)) {
    }
    pthread_mutex_unlock(&sup->lock);
}

static int ask_in_thread(rusm_supervisor *sup, struct rusm__request *request,
                         uint64_t deadline_ns) {
    rusm_msg *knock;
    int code = rusm_msg_new(0, &knock);
    if (code < 0)
        return code;
    request->armed = true;
    if (!enqueue(sup, request) || rusm_msg_send(sup->rt, sup->pid, knock) != RUSM_OK)
        rusm_msg_free(knock); /* it ended, and that is the answer; or it has mail to look at */
    wait_in_thread(sup, request, deadline_ns);
    return RUSM_OK;
}

/* The call was not sent. What has been answered meanwhile stands. */
static bool take_back(rusm_supervisor *sup, struct rusm__request *request) {
    pthread_mutex_lock(&sup->lock);
    bool undone = !request->done;
    if (undone) {
        rusm__list_unlink(&request->node);
        request->refs--;
        request->queued = false;
    }
    pthread_mutex_unlock(&sup->lock);
    return undone;
}

static int ask_in_fiber(rusm_proc *self, rusm_supervisor *sup, struct rusm__request *request,
                        uint64_t deadline_ns) {
    rusm_msg *call;
    int code = rusm_msg_new(sizeof(request->ticket), &call);
    if (code < 0)
        return code;
    code = rusm_msg_new(0, &request->reply);
    if (code < 0) {
        rusm_msg_free(call);
        return code;
    }
    request->from = rusm_proc_pid(self);
    if (!enqueue(sup, request)) {
        rusm_msg_free(call);
        return RUSM_OK;
    }
    memcpy(rusm_msg_data(call), &request->ticket, sizeof(request->ticket));
    rusm_msg *reply;
    code = rusm_call(self, sup->pid, &call, deadline_ns, &reply);
    rusm_msg_free(reply);
    bool unsent = call != NULL;
    rusm_msg_free(call);
    if (unsent)
        return take_back(sup, request) ? code : RUSM_OK;
    return code == RUSM_EEXITING ? code : RUSM_OK;
}

/* It never reached the supervisor. */
static void free_unqueued(struct rusm__request *request) {
    if (request->child)
        rusm__child_free(request->child, true);
    rusm_msg_free(request->reply);
    rusm__mem_free(request);
}

/* A scheduler that waits as a plain thread does may be the one that the supervisor needs. */
static bool may_wait_in_thread(uint64_t deadline_ns) {
    return !rusm_runtime_is_scheduler() || deadline_ns <= rusm_now_ns();
}

static int ask(rusm_proc *self, rusm_supervisor *sup, struct rusm__request *request,
               uint64_t deadline_ns) {
    int code = RUSM_ESTATE;
    if (self)
        code = ask_in_fiber(self, sup, request, deadline_ns);
    else if (may_wait_in_thread(deadline_ns))
        code = ask_in_thread(sup, request, deadline_ns);
    pthread_mutex_lock(&sup->lock);
    if (request->done)
        code = request->code;
    else if (code == RUSM_OK)
        code = RUSM_ETIMEDOUT;
    bool queued = request->queued;
    if (queued)
        unref(request);
    pthread_mutex_unlock(&sup->lock);
    if (!queued)
        free_unqueued(request);
    return code;
}

static int ask_about(rusm_proc *self, rusm_supervisor *sup, enum rusm__ask what, const char *id,
                     uint64_t deadline_ns) {
    if (!sup || (id && strnlen(id, RUSM__SUP_ID_MAX_BYTES + 1) > RUSM__SUP_ID_MAX_BYTES))
        return RUSM_EINVAL;
    struct rusm__request *request = request_new(what, id);
    return request ? ask(self, sup, request, deadline_ns) : RUSM_ENOMEM;
}

int rusm_supervisor_ready(rusm_proc *self, rusm_supervisor *sup, uint64_t deadline_ns) {
    return ask_about(self, sup, RUSM__READY, NULL, deadline_ns);
}

int rusm_supervisor_stop(rusm_proc *self, rusm_supervisor *sup, uint64_t deadline_ns) {
    return ask_about(self, sup, RUSM__STOP, NULL, deadline_ns);
}

int rusm_supervisor_terminate(rusm_proc *self, rusm_supervisor *sup, const char *id,
                              uint64_t deadline_ns) {
    return id ? ask_about(self, sup, RUSM__TERMINATE, id, deadline_ns) : RUSM_EINVAL;
}

int rusm_supervisor_restart(rusm_proc *self, rusm_supervisor *sup, const char *id,
                            uint64_t deadline_ns) {
    return id ? ask_about(self, sup, RUSM__RESTART, id, deadline_ns) : RUSM_EINVAL;
}

int rusm_supervisor_remove(rusm_proc *self, rusm_supervisor *sup, const char *id,
                           uint64_t deadline_ns) {
    return id ? ask_about(self, sup, RUSM__REMOVE, id, deadline_ns) : RUSM_EINVAL;
}

static void drop(const rusm_child *child) {
    if (child->drop)
        child->drop(child->arg);
}

int rusm_supervisor_add(rusm_proc *self, rusm_supervisor *sup, const rusm_child *child,
                        uint64_t deadline_ns) {
    if (!child || child->size != sizeof(*child))
        return RUSM_EINVAL; /* nothing that could be read */
    if (!sup || !rusm__child_is_valid(child)) {
        drop(child);
        return RUSM_EINVAL;
    }
    struct rusm__request *request = request_new(RUSM__ADD, NULL);
    struct rusm__child *record = request ? rusm__child_new(child) : NULL;
    if (!record) {
        rusm__mem_free(request);
        drop(child);
        return RUSM_ENOMEM;
    }
    request->child = record;
    return ask(self, sup, request, deadline_ns);
}

/* ---- the supervisor's side ---- */

static void answer(rusm_supervisor *sup, struct rusm__request *request, int code) {
    rusm_msg *call = request->call;
    rusm_msg *reply = request->reply;
    pthread_mutex_lock(&sup->lock);
    request->call = NULL;
    request->reply = NULL;
    request->done = true;
    request->code = code;
    pthread_cond_broadcast(&sup->answered);
    unref(request);
    pthread_mutex_unlock(&sup->lock);
    if (!call || rusm_reply(sup->rt, call, reply) != RUSM_OK)
        rusm_msg_free(reply); /* a thread, or a fiber that has ended or whose mailbox is full */
    rusm_msg_free(call);
}

static struct rusm__request *request_at(struct rusm__list *node) {
    return rusm__list_entry(node, struct rusm__request, node);
}

/* The call of a request of this sender. False: there is none. */
static bool arm(rusm_supervisor *sup, rusm_msg *call) {
    uint64_t ticket;
    memcpy(&ticket, rusm_msg_data(call), sizeof(ticket));
    bool found = false;
    pthread_mutex_lock(&sup->lock);
    rusm__list_each(node, &sup->requests) {
        struct rusm__request *request = request_at(node);
        found =
            !request->armed && request->ticket == ticket && request->from == rusm_msg_from(call);
        if (found) {
            request->armed = true;
            request->call = call;
            break;
        }
    }
    pthread_mutex_unlock(&sup->lock);
    return found;
}

void rusm__request_take(rusm_supervisor *sup, rusm_msg *msg) {
    sup->look = true;
    if (!rusm_msg_is_call(msg) || rusm_msg_len(msg) != sizeof(uint64_t) || !arm(sup, msg))
        rusm_msg_free(msg);
}

/* May it be done now? New processes wait for the end of a group restart; taking away does not, so
 * that a group that never comes up can be taken apart. */
static bool is_due(const rusm_supervisor *sup, const struct rusm__request *request) {
    if (!request->armed)
        return false;
    if (request->ask == RUSM__STOP || sup->ending.begun)
        return !sup->ending.begun || (request->ask != RUSM__STOP && request->ask != RUSM__READY);
    if (!sup->started || sup->current)
        return false;
    return !sup->group || (request->ask != RUSM__ADD && request->ask != RUSM__RESTART);
}

/* The first that is due, taken out of the queue; a STOP stays in it and is answered at the end. */
static struct rusm__request *next_due(rusm_supervisor *sup) {
    struct rusm__request *due = NULL;
    bool stop = false;
    pthread_mutex_lock(&sup->lock);
    rusm__list_each(node, &sup->requests) {
        struct rusm__request *request = request_at(node);
        if (!is_due(sup, request))
            continue;
        stop = stop || request->ask == RUSM__STOP;
        due = due || request->ask == RUSM__STOP ? due : request;
    }
    if (stop)
        due = NULL;
    else if (due)
        rusm__list_unlink(&due->node);
    sup->look = !rusm__list_is_empty(&sup->requests);
    pthread_mutex_unlock(&sup->lock);
    if (stop)
        rusm__plan_end(sup, RUSM_EXIT_NORMAL, "");
    return due;
}

static int add(rusm_supervisor *sup, struct rusm__request *request) {
    struct rusm__child *child = request->child;
    request->child = NULL;
    int code = rusm__child_insert(sup, child);
    if (code < 0) {
        rusm__child_free(child, true);
        return code;
    }
    code = rusm__child_start(sup, child);
    if (code < 0)
        rusm__child_forget(sup, child);
    return code;
}

static int restart(rusm_supervisor *sup, struct rusm__child *child) {
    if (rusm__child_is_alive(child))
        return RUSM_EEXIST;
    if (child->own)
        rusm__budget_refill(child->own);
    child->streak = 0;
    int code = rusm__child_start(sup, child);
    if (code < 0)
        rusm__child_set(sup, child, RUSM_CHILD_DOWN, 0);
    return code;
}

static int remove_down(rusm_supervisor *sup, struct rusm__child *child) {
    if (rusm__child_is_alive(child))
        return RUSM_EEXIST;
    rusm__child_forget(sup, child);
    return RUSM_OK;
}

/* True: it is down. */
static bool terminate(rusm_supervisor *sup, struct rusm__child *child) {
    rusm__child_group(sup, child, false);
    if (child->state == RUSM_CHILD_UP)
        rusm__child_stop(sup, child, rusm_now_ns());
    if (rusm__child_is_alive(child)) {
        sup->terminating = child;
        return false;
    }
    rusm__child_set(sup, child, RUSM_CHILD_DOWN, 0);
    return true;
}

static int with_child(rusm_supervisor *sup, struct rusm__request *request) {
    struct rusm__child *child = rusm__child_by_id(sup, request->id);
    if (!child)
        return RUSM_ENOTFOUND;
    if (request->ask == RUSM__RESTART)
        return restart(sup, child);
    if (request->ask == RUSM__REMOVE)
        return remove_down(sup, child);
    if (!terminate(sup, child))
        sup->current = request;
    return RUSM_OK;
}

static void refuse(rusm_supervisor *sup, struct rusm__request *request, int code) {
    if (request->child)
        rusm__child_free(request->child, true);
    request->child = NULL;
    answer(sup, request, code);
}

static void serve(rusm_supervisor *sup, struct rusm__request *request) {
    if (sup->ending.begun) {
        refuse(sup, request, RUSM_ESTATE);
        return;
    }
    int code = RUSM_OK;
    if (request->ask == RUSM__ADD)
        code = add(sup, request);
    else if (request->ask != RUSM__READY)
        code = with_child(sup, request);
    if (sup->current != request)
        answer(sup, request, code);
}

bool rusm__request_work(rusm_supervisor *sup) {
    bool worked = false;
    struct rusm__request *due;
    while ((due = next_due(sup)) != NULL) {
        serve(sup, due);
        worked = true;
    }
    return worked;
}

void rusm__request_terminated(rusm_supervisor *sup) {
    struct rusm__request *request = sup->current;
    sup->current = NULL;
    sup->terminating = NULL;
    sup->look = true;
    answer(sup, request, RUSM_OK);
}

/* Taken out and decided in one go: who could not send its call looks at the same time whether it is
 * still queued (take_back). */
static struct rusm__request *last_one(rusm_supervisor *sup) {
    pthread_mutex_lock(&sup->lock);
    sup->ended = true; /* from here on nobody queues any more */
    struct rusm__list *node = rusm__list_pop_front(&sup->requests);
    struct rusm__request *request = node ? request_at(node) : NULL;
    if (request) {
        request->done = true;
        request->code = answer_of_ended(sup, request->ask);
    }
    pthread_mutex_unlock(&sup->lock);
    return request;
}

void rusm__request_end(rusm_supervisor *sup) {
    struct rusm__request *request;
    if (sup->current)
        answer(sup, sup->current, RUSM_ENOPROC);
    sup->current = NULL;
    while ((request = last_one(sup)) != NULL)
        refuse(sup, request, request->code);
}
