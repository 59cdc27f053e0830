/* SPDX-License-Identifier: MIT */
/* What this machine gives to guests: mappings of the kernel, memory, addresses. Any thread. */
#ifndef RUSM__SANDBOX_MACHINE_H
#define RUSM__SANDBOX_MACHINE_H

#include <stdint.h>

#include "base/buf.h"

struct rusm__machine {
    uint64_t max_map_count;
    uint64_t memory_bytes;  /* of the machine, or of the control group if that is less */
    uint64_t address_bytes; /* for slots and stacks */
    uint64_t address_limit; /* what the process may have of them (RLIMIT_AS); 0: no limit */
};

/* Addresses that one guest takes: its slot, the guard behind it and its stack. */
#define RUSM__SMALL_SLOT_BYTES (17ull << 20 | 68u << 10)
#define RUSM__LARGE_SLOT_BYTES (4ull << 30 | 33u << 20)

/* How many guests each of them holds; at least one, but for large slots. */
struct rusm__room {
    uint32_t by_mappings;
    uint32_t by_memory;
    uint32_t by_addresses;       /* large slots */
    uint32_t by_small_addresses; /* small ones, which only a limit of addresses makes scarce */
};

/* Reads /proc and the control group. */
void rusm__machine_measure(struct rusm__machine *out_machine);
struct rusm__room rusm__machine_room(const struct rusm__machine *machine);

/* The least memory that the control groups of a process allow, those above its own included.
 * `memberships`: a file like /proc/self/cgroup. `root`: where groups lie, /sys/fs/cgroup.
 * UINT64_MAX: no limit. */
uint64_t rusm__machine_group_memory(const char *memberships, const char *root);

/* Mappings that slots and stacks may take; the rest is for the program itself. */
uint64_t rusm__machine_mappings(const struct rusm__machine *machine);

/* What this machine holds and what limits it, for people: lines for `rusm doctor`. */
void rusm__machine_report(struct rusm__buf *out);

#endif
