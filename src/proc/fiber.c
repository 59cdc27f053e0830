/* SPDX-License-Identifier: MIT */
/* The fiber body: a process that is a C function on its own stack.
 *
 *     scheduler stack:  step ──► enter ─┐ jump            ┌─► back in step: WAIT, AGAIN, EXIT
 *     fiber stack:              main ... wait ─► leave ───┘ jump
 *
 * The stack is taken at the first step and given back at the end, so a fiber that was spawned but
 * has not run costs no stack. A fiber may go on on another thread than it stopped on; nothing
 * here keeps a thread's address across a jump. */
#include "rusm/fiber.h"

#include "rusm/error.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/scale.h"
#include "proc/fiber_switch.h"
#include "proc/proc_impl.h"

enum {
    DEFAULT_STACK = 64 * 1024,
    STUBBORN =
        RUSM__SCALE(4096, 16), /* waits that a fiber may still try after it was told to end */
};

struct fiber {
    rusm_fiber_main main;
    void *arg;
    void (*drop)(void *arg);
    rusm_proc *self;
    struct rusm__stack *stack;
    rusm__context context;   /* where the fiber stopped */
    rusm__context scheduler; /* where the step that runs it waits */
    rusm_step wish;          /* what that step is to return */
    uint32_t size_index;
    uint32_t refused; /* waits after it was told to end */
    void *tsan;
    void *tsan_scheduler;
    void *asan_save;
    const void *scheduler_low;
    size_t scheduler_bytes;
};

/* ---- jumping ---- */

static inline __attribute__((always_inline)) void leave(struct fiber *fiber, rusm_step wish,
                                                        bool for_good) {
    fiber->wish = wish;
    void *save = NULL;
    RUSM__ASAN_LEAVE(for_good ? NULL : &save, fiber->scheduler_low, fiber->scheduler_bytes);
    (void)for_good;
    RUSM__TSAN_SWITCH_TO(fiber->tsan_scheduler);
    rusm__switch(&fiber->context, fiber->scheduler, NULL);
    RUSM__ASAN_ARRIVE(save, &fiber->scheduler_low, &fiber->scheduler_bytes);
    (void)save;
}

static void entry(void *arg) {
    struct fiber *fiber = arg;
    RUSM__ASAN_ARRIVE(NULL, &fiber->scheduler_low, &fiber->scheduler_bytes);
    fiber->main(fiber->self, fiber->arg);
    leave(fiber, RUSM_STEP_EXIT, true);
    RUSM_CHECK(!"a fiber went on after its end");
}

static inline rusm_step enter(struct fiber *fiber) {
    fiber->tsan_scheduler = RUSM__TSAN_CURRENT();
    RUSM__ASAN_LEAVE(&fiber->asan_save, rusm__stack_low(fiber->stack),
                     rusm__stack_usable(fiber->stack));
    RUSM__TSAN_SWITCH_TO(fiber->tsan);
    rusm__switch(&fiber->scheduler, fiber->context, fiber);
    RUSM__ASAN_ARRIVE(fiber->asan_save, NULL, NULL);
    return fiber->wish;
}

/* ---- the body ---- */

static struct rusm__stack_cache *own_stacks(void) {
    struct rusm__proc_local *local = rusm__sched_local(rusm__sched_current());
    return &local->stacks;
}

static struct rusm__stack_pool *stack_pool(void) {
    return &rusm__sched_runtime(rusm__sched_current())->procs->stacks;
}

static bool give_stack(struct fiber *fiber, rusm_proc *self) {
    fiber->stack = rusm__stack_take(own_stacks(), stack_pool(), fiber->size_index);
    if (!fiber->stack) {
        return false;
    }
    fiber->self = self;
    fiber->tsan = RUSM__TSAN_CREATE();
    fiber->context = rusm__context_make(fiber->stack, rusm__stack_usable(fiber->stack), entry);
    return true;
}

static rusm_step step(rusm_proc *self, void *body) {
    struct fiber *fiber = body;
    if (!fiber->stack && !give_stack(fiber, self)) {
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED,
                           "no memory or mappings left for a fiber's stack (vm.max_map_count?)");
        return RUSM_STEP_EXIT;
    }
    return enter(fiber);
}

static rusm_step unwind(rusm_proc *self, void *body) {
    struct fiber *fiber = body;
    (void)self;
    return fiber->stack ? enter(fiber) : RUSM_STEP_EXIT;
}

static void drop(void *body) {
    struct fiber *fiber = body;
    if (fiber->stack) {
        RUSM__TSAN_DESTROY(fiber->tsan);
        rusm__stack_give(own_stacks(), stack_pool(), fiber->stack);
    }
    if (fiber->drop) {
        fiber->drop(fiber->arg);
    }
    rusm__mem_free(fiber);
}

static const rusm_body_ops ops = {.name = "fiber", .step = step, .unwind = unwind, .drop = drop};

int rusm_fiber_spawn(rusm_runtime *rt, const rusm_fiber_options *opts, rusm_pid *out_pid) {
    if (!out_pid) {
        return RUSM_EINVAL;
    }
    *out_pid = 0;
    if (!rt || !opts || opts->size != sizeof(*opts) || !opts->main) {
        return RUSM_EINVAL;
    }
    if (opts->spawn.size != 0 && opts->spawn.size != sizeof(opts->spawn)) {
        return RUSM_EINVAL;
    }
    int size_index = rusm__stack_size_index(opts->stack_bytes ? opts->stack_bytes : DEFAULT_STACK);
    if (size_index < 0) {
        return RUSM_EINVAL;
    }
    struct fiber *fiber = rusm__mem_try_zalloc(sizeof(*fiber));
    if (!fiber) {
        return RUSM_ENOMEM;
    }
    fiber->main = opts->main;
    fiber->arg = opts->arg;
    fiber->drop = opts->drop;
    fiber->size_index = (uint32_t)size_index;
    int status = rusm__proc_spawn(rt, &ops, fiber, &opts->spawn, out_pid);
    if (status) {
        rusm__mem_free(fiber);
    }
    return status;
}

bool rusm__proc_is_fiber(const rusm_proc *self) {
    return self->ops == &ops;
}

/* ---- waiting ---- */

/* The blocking calls need a stack that can be left: others get RUSM_ESTATE. */
static bool is_fiber(const rusm_proc *self) {
    return rusm__proc_is_fiber(self);
}

static struct fiber *fiber_of(rusm_proc *self) {
    RUSM_ASSERT(is_fiber(self));
    return self->body;
}

__attribute__((noinline)) static void give_up_turn(rusm_proc *self) {
    leave(fiber_of(self), RUSM_STEP_AGAIN, false);
}

/* Part of this turn's budget. After the last of it others run, what arrived meanwhile is accepted,
 * and the process may be to end. */
static inline void spend(rusm_proc *self, int cost) {
    self->budget = (int16_t)(self->budget - cost);
    if (self->budget <= 0) {
        give_up_turn(self);
    }
}

/* Every wait of a process that is to end comes here. */
static int exiting(rusm_proc *self) {
    struct fiber *fiber = fiber_of(self);
    if (++fiber->refused > STUBBORN) {
        leave(fiber, RUSM_STEP_EXIT, true); /* never comes back */
    }
    return RUSM_EEXITING;
}

/* Give up the turn until something may have happened or the deadline came. */
static int wait_until(rusm_proc *self, uint64_t deadline_ns) {
    int status = rusm_proc_wake_at(self, deadline_ns);
    if (status) {
        return status;
    }
    leave(fiber_of(self), RUSM_STEP_WAIT, false);
    return RUSM_OK;
}

static bool is_over(uint64_t deadline_ns) {
    return deadline_ns != RUSM_FOREVER && rusm__clock_ns() >= deadline_ns;
}

/* The timer of a wait that ended early. Leaving it armed costs a wake-up for nothing, taking it out
 * costs a few nanoseconds. */
static void forget_deadline(rusm_proc *self) {
    if (self->wake_ns != UINT64_MAX) {
        int status = rusm_proc_wake_at(self, UINT64_MAX);
        RUSM_ASSERT(status == RUSM_OK);
        (void)status;
    }
}

int rusm__fiber_wait(rusm_proc *self, uint64_t deadline_ns) {
    if (rusm__proc_is_doomed(self)) {
        return exiting(self);
    }
    if (is_over(deadline_ns)) {
        forget_deadline(self);
        return RUSM_ETIMEDOUT;
    }
    return wait_until(self, deadline_ns);
}

void rusm__fiber_wait_done(rusm_proc *self) {
    forget_deadline(self);
}

int rusm_receive(rusm_proc *self, uint64_t deadline_ns, rusm_msg **out_msg) {
    *out_msg = NULL;
    if (!is_fiber(self)) {
        return RUSM_ESTATE;
    }
    spend(self, RUSM__COST_CALL);
    for (;;) {
        *out_msg = rusm__proc_is_doomed(self) ? NULL : rusm__proc_receive(self);
        if (*out_msg) {
            forget_deadline(self);
            return RUSM_OK;
        }
        int status = rusm__fiber_wait(self, deadline_ns);
        if (status) {
            return status;
        }
    }
}

/* The first item from *at on that matches. May give up the turn: new items are only ever added at
 * the end meanwhile, so `*at` stays good and every item is looked at once. Only a mailbox that
 * drops the oldest takes items away, and moves `*at` then. */
static bool find_match(rusm_proc *self, struct rusm_msg ***at,
                       bool (*match)(rusm_msg *msg, void *arg), void *arg) {
    struct rusm_msg **where = *at;
    while (*where && !match(*where, arg)) {
        where = &(*where)->next;
        self->budget = (int16_t)(self->budget - RUSM__COST_LOOK);
        if (self->budget <= 0) {
            *at = where;
            give_up_turn(self);
            where = *at;
        }
    }
    *at = where;
    return *where != NULL;
}

static int receive_match(rusm_proc *self, struct rusm_msg ***at,
                         bool (*match)(rusm_msg *msg, void *arg), void *arg, uint64_t deadline_ns,
                         rusm_msg **out_msg) {
    for (;;) {
        rusm__proc_accept_new(self);
        if (rusm__proc_is_doomed(self)) {
            return RUSM_EEXITING;
        }
        bool found = find_match(self, at, match, arg);
        if (rusm__proc_is_doomed(self)) {
            return RUSM_EEXITING;
        }
        if (found) {
            forget_deadline(self);
            *out_msg = rusm__mailbox_remove(&self->mailbox, *at);
            return RUSM_OK;
        }
        if (is_over(deadline_ns)) {
            forget_deadline(self);
            return RUSM_ETIMEDOUT;
        }
        int status = wait_until(self, deadline_ns);
        if (status) {
            return status;
        }
    }
}

int rusm_receive_match(rusm_proc *self, bool (*match)(rusm_msg *msg, void *arg), void *arg,
                       uint64_t deadline_ns, rusm_msg **out_msg) {
    struct rusm_msg **where;
    struct rusm__valve *valve = self->mailbox.valve;
    *out_msg = NULL;
    if (!is_fiber(self)) {
        return RUSM_ESTATE;
    }
    spend(self, RUSM__COST_CALL);
    where = &self->mailbox.first;
    if (valve) {
        valve->cursor = &where;
    }
    int status = receive_match(self, &where, match, arg, deadline_ns, out_msg);
    if (valve) {
        valve->cursor = NULL;
    }
    return status == RUSM_EEXITING ? exiting(self) : status;
}

int rusm_sleep_until(rusm_proc *self, uint64_t deadline_ns) {
    if (!is_fiber(self)) {
        return RUSM_ESTATE;
    }
    spend(self, RUSM__COST_CALL);
    int status;
    do {
        status = rusm__fiber_wait(self, deadline_ns);
    } while (status == RUSM_OK);
    return status == RUSM_ETIMEDOUT ? RUSM_OK : status;
}

int rusm_yield(rusm_proc *self) {
    if (!is_fiber(self)) {
        return RUSM_ESTATE;
    }
    spend(self, RUSM__COST_CALL);
    return rusm__proc_is_doomed(self) ? exiting(self) : RUSM_OK;
}

/* ---- sending ---- */

/* The message waits: until it is queued, or it is to wait no longer. */
static int wait_for_room(rusm_proc *self, uint64_t deadline_ns, rusm_msg **out_back) {
    for (;;) {
        int status = rusm_proc_send_result(self, out_back);
        if (status == RUSM_EAGAIN) {
            status = rusm__proc_is_doomed(self) ? RUSM_EEXITING
                     : is_over(deadline_ns)     ? RUSM_ETIMEDOUT
                                                : wait_until(self, deadline_ns);
            if (status == RUSM_OK) {
                continue;
            }
            *out_back = rusm_proc_send_cancel(self);
            status = *out_back ? status : RUSM_OK; /* it was queued in the last moment */
        }
        forget_deadline(self);
        return status;
    }
}

/* from, flags and ref of msg are set. */
static int send_marked(rusm_proc *self, rusm_pid to, rusm_msg *msg, uint64_t deadline_ns) {
    rusm_msg *back;
    spend(self, RUSM__COST_CALL);
    if (rusm__proc_is_doomed(self)) {
        return exiting(self);
    }
    int status = rusm__proc_send_marked(self, to, msg);
    if (status == RUSM_EAGAIN) {
        status = wait_for_room(self, deadline_ns, &back);
    }
    return status == RUSM_EEXITING ? exiting(self) : status;
}

int rusm_send(rusm_proc *self, rusm_pid to, rusm_msg *msg, uint64_t deadline_ns) {
    if (!msg || msg->tag != RUSM__TAG_DATA) {
        return RUSM_EINVAL; /* as rusm_msg_send */
    }
    if (!is_fiber(self)) {
        return RUSM_ESTATE;
    }
    msg->from = self->pid;
    rusm__msg_mark(msg, 0);
    return send_marked(self, to, msg, deadline_ns);
}

/* ---- calls ---- */

struct awaited {
    uint64_t call;
    uint64_t monitor;
};

static bool is_answer(rusm_msg *msg, void *arg) {
    const struct awaited *awaited = arg;
    return ((msg->flags & RUSM__MSG_REPLY) && msg->ref == awaited->call) ||
           rusm__msg_is_down(msg, awaited->monitor);
}

/* A reply that was accepted and is not the answer: the wait ended otherwise first. */
static void remove_reply(rusm_proc *self, uint64_t call) {
    struct rusm_msg **where = &self->mailbox.first;
    while (*where && !(((*where)->flags & RUSM__MSG_REPLY) && (*where)->ref == call)) {
        where = &(*where)->next;
    }
    if (*where) {
        rusm_msg_free(rusm__mailbox_remove(&self->mailbox, where));
        rusm__count(&rusm__proc_local(rusm_proc_runtime(self))->dropped, 1);
    }
}

static int send_call(rusm_proc *self, rusm_pid target, rusm_msg **request, uint64_t ref,
                     uint64_t deadline_ns) {
    (*request)->from = self->pid;
    rusm__msg_mark(*request, RUSM__MSG_CALL);
    (*request)->ref = ref;
    int status = send_marked(self, target, *request, deadline_ns);
    if (status == RUSM_OK) {
        *request = NULL;
    }
    return status;
}

int rusm_call(rusm_proc *self, rusm_pid target, rusm_msg **request, uint64_t deadline_ns,
              rusm_msg **out_reply) {
    struct awaited awaited;
    rusm_msg *answer = NULL;
    *out_reply = NULL;
    if (!is_fiber(self)) {
        return RUSM_ESTATE;
    }
    if (!*request || (*request)->tag != RUSM__TAG_DATA || target == self->pid) {
        return RUSM_EINVAL; /* as rusm_msg_send; and nobody is left to answer its own call */
    }
    int status = rusm_proc_monitor(self, target, &awaited.monitor);
    if (status) {
        return status;
    }
    awaited.call = rusm__ref_new(self);
    self->call_ref = awaited.call;
    status = send_call(self, target, request, awaited.call, deadline_ns);
    if (status == RUSM_OK) {
        status = rusm_receive_match(self, is_answer, &awaited, deadline_ns, &answer);
    }
    bool replied = self->call_ref == 0;
    self->call_ref = 0; /* from now on its reply is dropped on arrival */
    rusm_proc_demonitor(self, awaited.monitor);
    bool ended = answer && answer->tag == RUSM__TAG_DOWN;
    if (replied && (!answer || ended)) {
        remove_reply(self, awaited.call);
    }
    if (ended) {
        rusm_msg_free(answer);
        return RUSM_ENOPROC;
    }
    *out_reply = answer;
    return status;
}

bool rusm_msg_is_call(const rusm_msg *msg) {
    return msg->flags & RUSM__MSG_CALL;
}

/* A call that was answered is no call any more: so there is one reply to each, and the caller's
 * mailbox, which takes it past its bound, stays bounded. The reply may be the call itself. */
int rusm_reply(rusm_runtime *rt, rusm_msg *call, rusm_msg *reply) {
    if (!call || !reply || !rusm_msg_is_call(call) || reply->tag != RUSM__TAG_DATA) {
        return RUSM_EINVAL;
    }
    rusm_msg before = *call;
    call->flags &= (uint16_t)~RUSM__MSG_CALL;
    reply->from = rusm__running_pid(rusm__proc_local(rt));
    rusm__msg_mark(reply, RUSM__MSG_REPLY);
    reply->ref = before.ref;
    int status = rusm__msg_deliver_reply(rt, before.from, reply);
    if (status) { /* both stay the caller's, and the call a call */
        call->from = before.from;
        call->ref = before.ref;
        call->flags = before.flags;
    }
    return status;
}
