/* SPDX-License-Identifier: MIT */
/* The census: what runs here, as one log line a while after something has changed.
 *
 *     rusm   census  api=3  store=1  red=2
 *
 * How many processes there are of each label, then of each tag. Made by a thread of its own, which
 * sleeps until the sandbox tells it of a change, then two seconds more, so that a burst is one
 * line. Nothing of it exists below level info (spec/lifecycle.md section 8). */
#ifndef RUSM__NODE_CENSUS_H
#define RUSM__NODE_CENSUS_H

#include "rusm/runtime.h"

struct rusm__census;
struct rusm__sandbox;

/* RUSM_ENOMEM: no memory or no thread. */
RUSM_MUST_USE int rusm__census_new(rusm_runtime *rt, struct rusm__census **out_census);
/* To be called by the sandbox: there was a change. */
void rusm__census_note(void *census);
/* Begin to watch. The sandbox tells rusm__census_note. */
void rusm__census_watch(struct rusm__census *census, struct rusm__sandbox *sandbox);
/* Ends the thread at once, before the runtime goes; notes may still come. NULL is allowed. */
void rusm__census_stop(struct rusm__census *census);
/* After the sandbox, once it is stopped. NULL is allowed. */
void rusm__census_free(struct rusm__census *census);

#endif
