/* SPDX-License-Identifier: MIT */
/* What this machine gives to guests: mappings of the kernel, memory, addresses. Any thread. */
#ifndef RUSM__SANDBOX_MACHINE_H
#define RUSM__SANDBOX_MACHINE_H

#include <stdint.h>

#include "base/buf.h"

struct rusm__machine {
    uint64_t max_map_count;
    uint64_t memory_bytes;  /* of the machine, or of the control group if that is less */
    uint64_t address_bytes; /* for slots */
};

/* How many guests each of them holds; at least one. */
struct rusm__room {
    uint32_t by_mappings;
    uint32_t by_memory;
    uint32_t by_addresses; /* large slots; small ones never meet that bound first */
};

/* Reads /proc and the control group. */
void rusm__machine_measure(struct rusm__machine *out_machine);
struct rusm__room rusm__machine_room(const struct rusm__machine *machine);

/* Mappings that slots and stacks may take; the rest is for the program itself. */
uint64_t rusm__machine_mappings(const struct rusm__machine *machine);

/* What this machine holds and what limits it, for people: lines for `rusm doctor`. */
void rusm__machine_report(struct rusm__buf *out);

#endif
