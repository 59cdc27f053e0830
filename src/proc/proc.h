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

/* The running process was told to end (kill or exit signal); a body that runs long asks at its
 * ticks and winds down. One acquire load. */
bool rusm__proc_is_doomed(const rusm_proc *self);

/* True when the scheduler has other work waiting, so a body in mid-run should yield. */
bool rusm__proc_should_yield(const rusm_proc *self);

/* The body of the running process, and its label ("" if none). */
void *rusm__proc_body(rusm_proc *self);

/* Called on a scheduler when a process with RUSM_SPAWN_LOGGED ended. Set before the first spawn. */
typedef void (*rusm__exit_log)(rusm_pid pid, const char *label, rusm_exit_kind kind,
                               const char *text);
void rusm__runtime_set_exit_log(rusm_runtime *rt, rusm__exit_log log);

/* The running process' mailbox holds bytes of this much (see process-info). */
uint32_t rusm__proc_mail_depth(const rusm_proc *self);

/* Names and tags that the running process holds, counted by walking them. */
uint32_t rusm__proc_word_count(const rusm_proc *self);

#endif
