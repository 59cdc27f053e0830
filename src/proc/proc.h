/* SPDX-License-Identifier: MIT */
/* What the process folder offers to the folders above besides the public headers. */
#ifndef RUSM__PROC_PROC_H
#define RUSM__PROC_PROC_H

#include <stdbool.h>
#include <stdint.h>

#include "rusm/process.h"

/* Wake a process without mail: its step runs once more. Allocates nothing, any thread; false if
 * there is no such process. A wake is never lost, several may count as one. */
bool rusm__proc_wake(rusm_runtime *rt, rusm_pid pid);

/* As rusm_proc_wake_at, of a running process, whose one timer this is; and if it waits for its turn
 * when the time has come, its turn is the next, whichever scheduler it waits on. For limits, which
 * hold however many others use up their turns. RUSM_ENOMEM: it has its turn when it comes. */
RUSM_MUST_USE int rusm__proc_due_at(rusm_proc *self, uint64_t deadline_ns);

/* The running process was told to end (kill or exit signal); a body that runs long asks at its
 * ticks and winds down. One acquire load. */
bool rusm__proc_is_doomed(const rusm_proc *self);

/* In rusm_spawn_options.flags, besides those of the public header: this is a guest, or was started
 * for one. The calls below end such processes and no other. */
#define RUSM__SPAWN_FOR_GUESTS (1u << 16)

/* As rusm_pid_kill and rusm_tag_kill, for callers that must not reach the node's own processes:
 * such a one counts as not there. */
bool rusm__guests_kill(rusm_runtime *rt, rusm_pid pid);
size_t rusm__guests_kill_tag(rusm_runtime *rt, const char *tag, size_t len);

/* For a step that is about to wait: run here, inside of it, the process that it has just woken, if
 * its body has these ops and `suits` says yes. True: it ran, and self may have got what it waits
 * for. It saves both the way through the scheduler. One level deep; the inner step never answers
 * RUSM_STEP_EXIT, because a process ends on its scheduler's own stack, with no other under way. */
bool rusm__proc_run_woken(rusm_proc *self, const rusm_body_ops *ops,
                          bool (*suits)(const void *body));

/* From a step on such a turn, which then answers RUSM_STEP_AGAIN: it has not used up its turn but
 * wants one of its own for the rest, and that is the next one here. */
void rusm__proc_defer(rusm_proc *self);

/* True when the scheduler has other work waiting, so a body in mid-run should yield. */
bool rusm__proc_should_yield(const rusm_proc *self);

/* As rusm_proc_receive, but NULL says that there is nothing, however much a turn has received: for
 * bodies that end their turns otherwise. */
rusm_msg *rusm__proc_receive(rusm_proc *self);

/* The body of the running process, and its label ("" if none). */
void *rusm__proc_body(rusm_proc *self);

/* What the log calls it. */
const char *rusm__proc_label(const rusm_proc *self);

/* How the running process is about to end: the kind, NORMAL as long as nothing is known, and the
 * text, "" if there is none. */
rusm_exit_kind rusm__proc_exit(const rusm_proc *self, const char **out_text);
/* No line about its end: it is counted somewhere else. */
void rusm__proc_mute(rusm_proc *self);

/* The running process' mailbox holds bytes of this much (see process-info). */
uint32_t rusm__proc_mail_depth(const rusm_proc *self);

/* Names and tags that the running process holds, counted by walking them. */
uint32_t rusm__proc_word_count(const rusm_proc *self);

/* ---- what other folders keep with a process ---- */

/* Kept until the process ends, then told once: on a scheduler, after the body was dropped and
 * before watchers are told. `end` is also what it is found by: one a folder. */
struct rusm__holding {
    struct rusm__holding *next;
    void (*end)(struct rusm__holding *holding, rusm_exit_kind kind);
};

/* The running process. RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__proc_hold(rusm_proc *self, struct rusm__holding *holding);
/* NULL if there is none. */
struct rusm__holding *rusm__proc_held(const rusm_proc *self,
                                      void (*end)(struct rusm__holding *holding,
                                                  rusm_exit_kind kind));

/* ---- offers: RUSM_MSG_STREAM mail ---- */

/* `refuse` is called if the mail is freed instead of taken, on any thread. It weighs so many bytes
 * in the mailbox. NULL: no memory. */
rusm_msg *rusm__offer_new(uint32_t weight, void *what, void (*refuse)(void *what));
/* From the running process; otherwise as rusm_msg_send. */
RUSM_MUST_USE int rusm__offer_send(rusm_proc *self, rusm_pid to, rusm_msg *msg);
/* NULL for any other mail. The mail stays. */
void *rusm__offer_what(rusm_msg *msg);
/* Free the mail of an offer that was taken, or that was not sent. */
void rusm__offer_done(rusm_msg *msg);

/* The oldest mail of these kinds (bits RUSM__KIND); others stay where they are. Returns owned;
 * NULL: none. Walks what is in front of it. */
#define RUSM__KIND(kind) (1u << (kind))
rusm_msg *rusm__proc_receive_kinds(rusm_proc *self, unsigned kinds);

/* ---- waiting in a fiber ---- */

/* Give up the turn until something may have happened: RUSM_OK, try again. RUSM_ETIMEDOUT: the
 * deadline has passed. RUSM_EEXITING, RUSM_ENOMEM. After a wait that went well,
 * rusm__fiber_wait_done takes the deadline back. */
RUSM_MUST_USE int rusm__fiber_wait(rusm_proc *self, uint64_t deadline_ns);
void rusm__fiber_wait_done(rusm_proc *self);

#endif
