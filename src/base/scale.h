/* SPDX-License-Identifier: MIT */
/* Sizes that decide how often a rare path is taken: when a ring is full, a table grows, a batch is
 * used up. The simulation compiles the same code with small ones, so that short runs take those
 * paths all the time. */
#ifndef RUSM__BASE_SCALE_H
#define RUSM__BASE_SCALE_H

#ifdef RUSM_SIMULATION
#define RUSM__SCALE(normal, small) (small)
#else
#define RUSM__SCALE(normal, small) (normal)
#endif

#endif
