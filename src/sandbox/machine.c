/* SPDX-License-Identifier: MIT */
/* What this machine gives to guests, and how many that makes. */
#include "sandbox/machine.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "rusm_engine.h"

#include "base/number.h"

/* Measured (README): a guest takes two mappings for its stack and two for its memory; a group of
 * sixteen slots has one more. Groups that are used in part are the node's slack. */
#define MAPPINGS_PER_SIXTEEN (16 * 4 + 1)
#define MAPPINGS_ELSEWHERE   4096u /* program, libraries, heap, threads, store, fibers */
#define MAPPINGS_SLACK       512u
#define MAPPINGS_DEFAULT     65530u

/* What a small guest that waits makes resident, page tables included (bench idle-wasm). */
#define BYTES_PER_GUEST (28 * RUSM__KIB)

/* A large slot is 4 GiB and a guard of 32 MiB, and there is a stack to it. */
#define LARGE_SLOT_BYTES (4 * RUSM__GIB + 33 * RUSM__MIB)
#define ADDRESS_BYTES    (120ull * 1024 * RUSM__GIB) /* of 47 bits; the rest is left to others */

/* The number that a file of the kernel holds; `none` if it has none ("max", no such file). */
static uint64_t read_number(const char *path, uint64_t none) {
    unsigned long long number = none;
    FILE *file = fopen(path, "re");
    if (!file)
        return none;
    if (fscanf(file, "%llu", &number) != 1)
        number = none;
    fclose(file);
    return number;
}

static uint64_t memory_bytes(void) {
    uint64_t physical = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t v2 = read_number("/sys/fs/cgroup/memory.max", UINT64_MAX);
    uint64_t v1 = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", UINT64_MAX);
    return rusm__min_u64(physical, rusm__min_u64(v1, v2));
}

static uint64_t address_bytes(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return ADDRESS_BYTES;
    return rusm__min_u64(limit.rlim_cur / 8 * 7, ADDRESS_BYTES);
}

void rusm__machine_measure(struct rusm__machine *out_machine) {
    *out_machine = (struct rusm__machine){
        .max_map_count = read_number("/proc/sys/vm/max_map_count", MAPPINGS_DEFAULT),
        .memory_bytes = memory_bytes(),
        .address_bytes = address_bytes(),
    };
}

uint64_t rusm__machine_mappings(const struct rusm__machine *machine) {
    uint64_t most = machine->max_map_count;
    return most > 2 * MAPPINGS_ELSEWHERE ? most - MAPPINGS_ELSEWHERE : most / 2;
}

static uint32_t at_least_one(uint64_t guests) {
    return guests < 1 ? 1 : (uint32_t)rusm__min_u64(guests, UINT32_MAX);
}

struct rusm__room rusm__machine_room(const struct rusm__machine *machine) {
    uint64_t mappings = rusm__machine_mappings(machine);
    mappings = mappings > 2 * MAPPINGS_SLACK ? mappings - MAPPINGS_SLACK : mappings / 2;
    return (struct rusm__room){
        .by_mappings = at_least_one(mappings * 16 / MAPPINGS_PER_SIXTEEN),
        .by_memory = at_least_one(machine->memory_bytes / 8 * 7 / BYTES_PER_GUEST),
        .by_addresses = at_least_one(machine->address_bytes / LARGE_SLOT_BYTES),
    };
}

/* ---- rusm doctor ---- */

static const char *bottleneck(const struct rusm__room *room) {
    if (room->by_memory < room->by_mappings)
        return "memory";
    return "the sysctl vm.max_map_count";
}

static void add_kernel(struct rusm__buf *out) {
    struct utsname name;
    if (uname(&name) == 0)
        rusm__buf_addf(out, "kernel        %s %s\n", name.sysname, name.release);
}

static void add_room(const struct rusm__machine *machine, struct rusm__buf *out) {
    struct rusm__room room = rusm__machine_room(machine);
    uint32_t most = (uint32_t)rusm__min_u64(room.by_mappings, room.by_memory);
    rusm__buf_addf(out, "guests        %u can be alive; the limit is %s\n", most,
                   bottleneck(&room));
    rusm__buf_addf(out, "  mappings    %u, with vm.max_map_count = %llu, some four each\n",
                   room.by_mappings, (unsigned long long)machine->max_map_count);
    rusm__buf_addf(out, "  memory      %u, with %llu MiB, at least %llu KiB each\n", room.by_memory,
                   (unsigned long long)(machine->memory_bytes / RUSM__MIB),
                   BYTES_PER_GUEST / RUSM__KIB);
    rusm__buf_addf(out, "  addresses   %u of those with max-memory-mb above 16\n",
                   (uint32_t)rusm__min_u64(most, room.by_addresses));
    if (room.by_mappings < room.by_memory)
        rusm__buf_addf(out,
                       "  remedy      sysctl -w vm.max_map_count=%llu would let memory decide\n",
                       (unsigned long long)room.by_memory * MAPPINGS_PER_SIXTEEN / 16 +
                           MAPPINGS_ELSEWHERE + MAPPINGS_SLACK);
}

void rusm__machine_report(struct rusm__buf *out) {
    struct rusm__machine machine;
    rusm__machine_measure(&machine);
    add_kernel(out);
    add_room(&machine, out);
    rusm__buf_add_str(out,
                      rusm_engine_scans_pages()
                          ? "page scan     yes: ended guests' pages are cleaned in place\n"
                          : "page scan     no (Linux 6.7 or newer has it): ended guests' pages "
                            "go back to the kernel,\n"
                            "              and every spawn faults them in again\n");
}
