/* SPDX-License-Identifier: MIT */
/* Calls of bridges, and calls that wait.
 *
 * A parked call is one block with two holders, the guest and whoever is to answer. Each lets go
 * once; who comes second frees it. Its lock orders an answer with the guest's end: while the guest
 * holds it, the guest's process and runtime are there to be woken.
 *
 *   WAITING -> ANSWERED | FAILED      by the answer, which then lets go
 *   held    -> not held               by the guest: it has seen the answer, its time was up, or it
 *                                     has ended */
#include "hostcall/hostcall_impl.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"
#include "proc/proc.h"

#define DEFAULT_WAIT_MS 30000u
#define TEXT_BYTES      256u

struct rusm_bridge_call {
    struct rusm__guest *guest;
    const struct rusm__bound_function *bound;
    void *block; /* of rusm_bridge_alloc; owned */
    bool has_text;
    char text[TEXT_BYTES]; /* set if has_text */
};

enum state { WAITING, ANSWERED, FAILED };

struct rusm_parked {
    /* fixed */
    rusm_runtime *runtime;
    rusm_pid pid;
    const struct rusm__bound_function *bound;
    /* guarded by lock */
    pthread_mutex_t lock;
    bool is_held;    /* by the guest */
    bool is_settled; /* whoever was to answer has let go */
    enum state state;
    rusm_value answer;
    void *block; /* the answer's bytes; owned until it is handed out */
    char text[TEXT_BYTES];
};

/* ---- what functions may ask ---- */

void *rusm_bridge_data(const rusm_bridge_call *call) {
    return call->bound->bridge->data;
}

rusm_runtime *rusm_bridge_runtime(const rusm_bridge_call *call) {
    return rusm__runtime_of(call->guest);
}

rusm_pid rusm_bridge_pid(const rusm_bridge_call *call) {
    return call->guest->pid;
}

const char *rusm_bridge_component(const rusm_bridge_call *call) {
    return rusm__component_name(call->guest->component);
}

const rusm_context *rusm_bridge_context(const rusm_bridge_call *call) {
    return rusm__calls_of(call->guest)->context;
}

void *rusm_bridge_alloc(rusm_bridge_call *call, size_t bytes) {
    if (!call->block)
        return call->block = rusm__mem_try_alloc(bytes ? bytes : 1);
    return NULL;
}

int rusm_bridge_fail(rusm_bridge_call *call, const char *text) {
    snprintf(call->text, sizeof(call->text), "%s", text);
    call->has_text = true;
    return RUSM_EGUEST;
}

/* ---- a parked call ---- */

static void free_parked(rusm_parked *parked) {
    pthread_mutex_destroy(&parked->lock);
    rusm__mem_free(parked->block);
    rusm__mem_free(parked);
}

int rusm_bridge_park(rusm_bridge_call *call, rusm_parked **out_parked) {
    struct rusm__bridge_wait *wait = &rusm__calls_of(call->guest)->bridge;
    *out_parked = NULL;
    if (!(call->bound->declared->flags & RUSM_BRIDGE_MAY_PARK))
        return RUSM_ENOTSUP;
    if (wait->parked)
        return RUSM_ESTATE;
    rusm_parked *parked = rusm__mem_try_zalloc(sizeof(*parked));
    if (!parked)
        return RUSM_ENOMEM;
    parked->runtime = rusm__runtime_of(call->guest);
    parked->pid = call->guest->pid;
    parked->bound = call->bound;
    parked->is_held = true;
    pthread_mutex_init(&parked->lock, NULL);
    uint32_t wait_ms = call->bound->declared->wait_ms;
    wait->parked = *out_parked = parked;
    wait->deadline_ns = rusm__deadline_ms(rusm__clock_ns(), wait_ms ? wait_ms : DEFAULT_WAIT_MS);
    return RUSM_OK;
}

/* Take a copy of the value, its bytes included. */
static void keep(rusm_parked *parked, const rusm_value *answer) {
    bool has_bytes = answer->type == RUSM_TYPE_STRING || answer->type == RUSM_TYPE_BYTES;
    parked->answer = *answer;
    parked->state = ANSWERED;
    if (!has_bytes || answer->as.bytes.len == 0)
        return;
    parked->block = rusm__mem_try_alloc(answer->as.bytes.len);
    if (parked->block) {
        memcpy(parked->block, answer->as.bytes.data, answer->as.bytes.len);
        parked->answer.as.bytes.data = parked->block;
    } else {
        parked->state = FAILED;
        snprintf(parked->text, sizeof(parked->text), "no memory for an answer of %zu bytes",
                 answer->as.bytes.len);
    }
}

/* With the lock held, which it gives up. */
static void settle_locked(rusm_parked *parked) {
    bool is_held = parked->is_held;
    parked->is_settled = true;
    if (is_held) /* under the lock: the guest cannot end meanwhile. False: it ends already. */
        (void)rusm__proc_wake(parked->runtime, parked->pid);
    pthread_mutex_unlock(&parked->lock);
    if (!is_held)
        free_parked(parked);
}

void rusm_parked_answer(rusm_parked *parked, const rusm_value *answer) {
    pthread_mutex_lock(&parked->lock);
    if (parked->is_held)
        keep(parked, answer);
    settle_locked(parked);
}

void rusm_parked_fail(rusm_parked *parked, const char *text) {
    pthread_mutex_lock(&parked->lock);
    parked->state = FAILED;
    snprintf(parked->text, sizeof(parked->text), "%s", text);
    settle_locked(parked);
}

bool rusm_parked_is_wanted(rusm_parked *parked) {
    pthread_mutex_lock(&parked->lock);
    bool is_held = parked->is_held;
    pthread_mutex_unlock(&parked->lock);
    return is_held;
}

/* The guest lets go. */
static void leave(struct rusm__bridge_wait *wait) {
    rusm_parked *parked = wait->parked;
    wait->parked = NULL;
    pthread_mutex_lock(&parked->lock);
    parked->is_held = false;
    bool is_settled = parked->is_settled;
    pthread_mutex_unlock(&parked->lock);
    if (is_settled)
        free_parked(parked);
}

void rusm__bridge_end(struct rusm__guest *guest) {
    struct rusm__bridge_wait *wait = &rusm__calls_of(guest)->bridge;
    if (wait->parked)
        leave(wait);
}

/* ---- calls ---- */

static bool fits(const struct rusm__signature *signature, const rusm_value *answer) {
    if (answer->is_error)
        return signature->is_result && answer->type == signature->error;
    return answer->type == signature->answer;
}

static uint32_t wrong_type(struct rusm__guest *guest, const struct rusm__bound_function *bound) {
    return rusm__hostcall_trap(guest, "the bridge `%s` answered `%s` with another type than %s",
                               bound->bridge->name, bound->declared->name, bound->declared->type);
}

static uint32_t denied(struct rusm__guest *guest, const struct rusm__bound_function *bound) {
    const char *name = bound->bridge->interface_name;
    rusm__gate_deny(guest, RUSM__REFUSED_BRIDGE, name, strlen(name));
    return rusm__hostcall_trap(guest,
                               "bridge denied: `%s` is not in `bridges` of [capabilities.%s]",
                               bound->bridge->name, guest->profile->name);
}

static uint32_t failed(struct rusm__guest *guest, const struct rusm__bound_function *bound,
                       const char *text) {
    return rusm__hostcall_trap(guest, "the bridge `%s`, `%s`: %s", bound->bridge->name,
                               bound->declared->name, text);
}

/* Anything but an answer. */
static uint32_t no_answer(rusm_bridge_call *call, int code) {
    struct rusm__guest *guest = call->guest;
    struct rusm__bridge_wait *wait = &rusm__calls_of(guest)->bridge;
    rusm__mem_free(call->block);
    if (code == RUSM_EAGAIN && wait->parked)
        return RUSM__CALL_PENDING;
    bool was_parked = wait->parked;
    if (was_parked)
        leave(wait);
    if (code == RUSM_OK && was_parked)
        return failed(guest, call->bound,
                      "it has parked the call and answers at once all the same: return RUSM_EAGAIN "
                      "after rusm_bridge_park");
    if (code == RUSM_OK)
        return wrong_type(guest, call->bound);
    if (code == RUSM_EAGAIN)
        return failed(guest, call->bound, "it answers later and has not parked the call");
    return failed(guest, call->bound, call->has_text ? call->text : rusm_error_text(code));
}

uint32_t rusm__bridge_call(struct rusm__guest *guest, const void *function, const rusm_value *args,
                           rusm_value *out_answer, void **out_owner) {
    const struct rusm__bound_function *bound = function;
    rusm_bridge_call call;
    call.guest = guest;
    call.bound = bound;
    call.block = NULL;
    call.has_text = false;
    if (!(guest->profile->bridges >> bound->index & 1))
        return denied(guest, bound);
    int code = bound->declared->call(&call, args, out_answer);
    if (code != RUSM_OK || !fits(&bound->signature, out_answer) ||
        rusm__calls_of(guest)->bridge.parked)
        return no_answer(&call, code);
    *out_owner = call.block;
    return RUSM__CALL_OK;
}

/* ---- waiting ---- */

/* Taking a request back needs no memory, so it does not fail. */
static void stop_waiting(struct rusm__guest *guest) {
    (void)(rusm__guest_poll_at(guest, UINT64_MAX) == RUSM_OK);
    leave(&rusm__calls_of(guest)->bridge);
}

static uint32_t hand_out(struct rusm__guest *guest, rusm_parked *parked, rusm_value *out_answer,
                         void **out_owner) {
    uint32_t answer = RUSM__CALL_OK;
    if (parked->state == FAILED)
        answer = failed(guest, parked->bound, parked->text);
    else if (!fits(&parked->bound->signature, &parked->answer))
        answer = wrong_type(guest, parked->bound);
    if (answer == RUSM__CALL_OK) {
        *out_answer = parked->answer;
        *out_owner = parked->block;
        parked->block = NULL;
    }
    stop_waiting(guest);
    return answer;
}

static uint32_t wait_more(struct rusm__guest *guest, const rusm_parked *parked) {
    const struct rusm__bridge_wait *wait = &rusm__calls_of(guest)->bridge;
    if (rusm__clock_ns() < wait->deadline_ns) {
        if (rusm__guest_poll_at(guest, wait->deadline_ns) == RUSM_OK)
            return RUSM__CALL_PENDING;
        return failed(guest, parked->bound, "no memory for the deadline of a call");
    }
    uint32_t wait_ms = parked->bound->declared->wait_ms;
    char text[64];
    snprintf(text, sizeof(text), "no answer within %u ms", wait_ms ? wait_ms : DEFAULT_WAIT_MS);
    uint32_t answer = failed(guest, parked->bound, text);
    stop_waiting(guest);
    return answer;
}

uint32_t rusm__bridge_poll(struct rusm__guest *guest, rusm_value *out_answer, void **out_owner) {
    rusm_parked *parked = rusm__calls_of(guest)->bridge.parked;
    if (!parked)
        return rusm__hostcall_trap(guest, "no call of a bridge is under way");
    pthread_mutex_lock(&parked->lock);
    enum state state = parked->state;
    pthread_mutex_unlock(&parked->lock);
    /* Once it is settled, the guest alone touches it. */
    return state == WAITING ? wait_more(guest, parked)
                            : hand_out(guest, parked, out_answer, out_owner);
}
