/* SPDX-License-Identifier: MIT */
/* Processes in the blocking style: a C function on a stack of its own that waits where it stands.
 *
 * Every wait takes an absolute deadline (rusm_now_ns clock); RUSM_FOREVER waits without one. When
 * the process is to end (kill, exit signal), the wait it is in and all later ones return
 * RUSM_EEXITING at once, so that the function can free what it holds and return. One that goes on
 * waiting regardless is cut off after a few thousand such answers: its stack is taken away
 * without running any more of it.
 *
 * A fiber's turn ends when it waits, and after a few hundred of these calls (or a few thousand
 * items that a selective receive passed over), whether they had to wait or not: then others run. So
 * a fiber that always has work delays others by no more than that, and by what it computes itself
 * between two calls; for long work without calls there is rusm_yield.
 *
 * All functions but rusm_fiber_spawn, rusm_msg_is_call and rusm_reply belong to the running fiber;
 * a process with another body gets RUSM_ESTATE. */
#ifndef RUSM_FIBER_H
#define RUSM_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm/process.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RUSM_FOREVER UINT64_MAX

/* The process: ends with reason normal when it returns (or as rusm_proc_set_exit said). */
typedef void (*rusm_fiber_main)(rusm_proc *self, void *arg);

/* Set size to sizeof(rusm_fiber_options). */
typedef struct rusm_fiber_options {
    size_t size;
    rusm_fiber_main main;
    void *arg;                /* stays the caller's */
    void (*drop)(void *arg);  /* called once after the end, however it came; NULL = nothing */
    size_t stack_bytes;       /* rounded up to a power of two; 0 = 64 KiB; 16 KiB to 64 MiB */
    rusm_spawn_options spawn; /* label, first, name, monitor_by, flags, mailbox...; ops and body are
                               * set here. size: sizeof(rusm_spawn_options), or 0 for the same */
} rusm_fiber_options;

/* Start a process that runs opts->main. The stack is taken from a pool when it first runs; a
 * machine that has none left ends the process with reason crashed and a text. Any thread; never
 * waits. Errors as of rusm_proc_spawn. */
RUSM_API RUSM_MUST_USE int rusm_fiber_spawn(rusm_runtime *rt, const rusm_fiber_options *opts,
                                            rusm_pid *out_pid);

/* Wait for the next item of the mailbox. Returns owned. RUSM_ETIMEDOUT: the deadline passed (one in
 * the past polls). RUSM_EEXITING. RUSM_ENOMEM: no timer for the deadline. */
RUSM_API RUSM_MUST_USE int rusm_receive(rusm_proc *self, uint64_t deadline_ns, rusm_msg **out_msg);

/* Wait for the first item that matches; others stay where they are, in order. An item is asked
 * about once per call. match must not wait or touch the mailbox. */
RUSM_API RUSM_MUST_USE int rusm_receive_match(rusm_proc *self,
                                              bool (*match)(rusm_msg *msg, void *arg), void *arg,
                                              uint64_t deadline_ns, rusm_msg **out_msg);

/* RUSM_OK once the time has come; mail stays queued. RUSM_EEXITING. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_sleep_until(rusm_proc *self, uint64_t deadline_ns);

/* Let others run. Cheap when called often: gives up the turn only when its budget is used up, as
 * the other calls do. RUSM_EEXITING. */
RUSM_API RUSM_MUST_USE int rusm_yield(rusm_proc *self);

/* As rusm_msg_send; but while the mailbox of `to` is at its limit and its policy is
 * RUSM_MAILBOX_BLOCK_SENDER, wait for room. Takes msg on success only. RUSM_ENOPROC: also when the
 * receiver ends meanwhile. RUSM_ETIMEDOUT (one in the past: there is no room now), RUSM_EEXITING.
 * RUSM_EFULL: another policy, or the own mailbox. RUSM_ETOOBIG: it would never fit. RUSM_EBUSY: a
 * message of rusm_proc_send waits. RUSM_EINVAL: as rusm_msg_send. RUSM_ENOMEM. */
RUSM_API RUSM_MUST_USE int rusm_send(rusm_proc *self, rusm_pid to, rusm_msg *msg,
                                     uint64_t deadline_ns);

/* Send request, as rusm_send does, and wait for its reply. Takes request on success of the send
 * (whatever comes after that leaves the caller without it: look at *request, which is set to NULL
 * when it was taken). The caller's mailbox takes the reply even when it is at its limit. A reply
 * that comes after the deadline is dropped before it reaches the mailbox. RUSM_ENOPROC: the target
 * ended first. RUSM_ETIMEDOUT, RUSM_EEXITING. RUSM_EINVAL: a call to oneself, which nobody could
 * answer, or as rusm_send. RUSM_EFULL, RUSM_ETOOBIG, RUSM_EBUSY, RUSM_ENOMEM: as rusm_send. */
RUSM_API RUSM_MUST_USE int rusm_call(rusm_proc *self, rusm_pid target, rusm_msg **request,
                                     uint64_t deadline_ns, rusm_msg **out_reply);

/* True if msg was sent by rusm_call and has not been answered. Any thread. */
RUSM_API bool rusm_msg_is_call(const rusm_msg *msg);

/* Answer a call, once. Takes reply on success; call stays the caller's of this function, unless it
 * is the reply itself, which is allowed. Any thread; never waits, and no limit of a mailbox refuses
 * it. RUSM_EINVAL: call is no call, or was answered; or reply is a DOWN, EXIT or STREAM.
 * RUSM_ENOPROC: who called has ended. */
RUSM_API RUSM_MUST_USE int rusm_reply(rusm_runtime *rt, rusm_msg *call, rusm_msg *reply);

#ifdef __cplusplus
}
#endif
#endif
