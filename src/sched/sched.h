/* SPDX-License-Identifier: MIT */
/* Schedulers: what the folders above see of the threads that run processes. */
#ifndef RUSM__SCHED_SCHED_H
#define RUSM__SCHED_SCHED_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "rusm/runtime.h"

struct rusm__sched;

/* The scheduler whose thread this is, or NULL. */
struct rusm__sched *rusm__sched_current(void);
uint32_t rusm__sched_index(const struct rusm__sched *sched);
uint32_t rusm__sched_count(const rusm_runtime *rt);

/* Its event loop. Handles are made, used and closed on this scheduler's thread only, from process
 * steps (of pinned processes), posted calls or callbacks of the loop itself. */
uv_loop_t *rusm__sched_loop(struct rusm__sched *sched);

/* Call fn(arg) once on scheduler `index` between two steps. Any thread. RUSM_ENOMEM. */
int rusm__sched_post(rusm_runtime *rt, uint32_t index, void (*fn)(void *arg), void *arg);

#endif
