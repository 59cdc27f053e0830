/* SPDX-License-Identifier: MIT */
/* What the actors and the plain threads of a run do: anything, at random. */
#ifndef RUSM_TEST_SIM_WORKLOAD_H
#define RUSM_TEST_SIM_WORKLOAD_H

#include "model.h"

/* ops.c: one thing at random. self, proc: NULL on a plain thread, which is sender `from`. */
void op_anything(unsigned from, struct actor *self, rusm_proc *proc);
/* Start an actor; NULL when there is no room for one. */
struct actor *op_spawn(unsigned from, struct actor *self, rusm_proc *proc);
/* A message of that kind, or NULL when memory is short; *out_mail is its number. */
rusm_msg *op_new_msg(unsigned mail);
/* Take what was received: look at it, keep it, answer it, set it aside. */
void op_handle(struct actor *self, rusm_proc *proc, rusm_msg *msg);
/* What became of a message that waits for room elsewhere, if there is one. */
void op_ask_parked(struct actor *self, rusm_proc *proc);
void op_call(struct actor *self, rusm_proc *proc);
uint64_t op_some_time(void);

/* bodies.c */
extern const rusm_body_ops stepper_ops, winding_ops;
void fiber_main(rusm_proc *self, void *arg);
void body_drop(void *body);

/* supervisors.c: a run of its own kind */
void supervisors_run(void);

/* scenario.c */
void scenario_run(void);

#endif
