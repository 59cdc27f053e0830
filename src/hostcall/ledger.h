/* SPDX-License-Identifier: MIT */
/* The ledger: what the host holds for a guest besides its linear memory, bounded by `max-host-mb`.
 *
 * Only a guest's own acts are on it: its stack and tables, what it stashed, its timers with their
 * messages, names and tags, monitors, supervisors with what they know of their children, streams
 * with what it wrote and nobody has read, and what it sent that waits for room. Mail that others
 * send is not, so that nobody else can end it. Every entry is a count that is kept anyway; the sum
 * is made when something is to be added. */
#ifndef RUSM__HOSTCALL_LEDGER_H
#define RUSM__HOSTCALL_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

struct rusm__guest;

#define RUSM__MESSAGE_WEIGHT 64u /* what a message weighs besides its bytes */

/* The sum. */
uint64_t rusm__ledger_held(struct rusm__guest *guest);
/* Is there room for so many bytes more? */
bool rusm__ledger_fits(struct rusm__guest *guest, uint64_t more);
/* There is not: ends the guest with memory_limit. Answers RUSM__CALL_TRAP. */
uint32_t rusm__ledger_trap(struct rusm__guest *guest, uint64_t more);

/* What things weigh: their structs, the allocator's share, and the places where others keep them.
 * Rounded up; a test holds them against what the process really grows by. */
enum {
    RUSM__WEIGHT_TIMER = 192,
    RUSM__WEIGHT_WORD = 512,
    RUSM__WEIGHT_MONITOR = 256,
    RUSM__WEIGHT_STREAM_END = 2048,
    RUSM__WEIGHT_SUPERVISOR = 4096,
    RUSM__WEIGHT_SUPERVISED = 512, /* a child, up or down */
};

#endif
