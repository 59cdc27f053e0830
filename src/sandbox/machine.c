/* SPDX-License-Identifier: MIT */
/* What this machine gives to guests, and how many that makes. */
#include "sandbox/machine.h"

#include <stdio.h>
#include <string.h>
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

#define ADDRESS_BYTES (120ull * 1024 * RUSM__GIB) /* of 47 bits; the rest is left to others */
/* Under a limit of addresses: what heaps, threads and the store will want, at most. */
#define ADDRESSES_ELSEWHERE (1 * RUSM__GIB)

#define PATH_BYTES 4096u

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

/* ---- control groups ---- */

/* The least number that a file of that name holds, from `top/path` up to `top`. In a name space of
 * its own a process does not see where its group lies; the top is then its group. */
static uint64_t least_upwards(const char *top, const char *path, const char *name) {
    char place[PATH_BYTES], file[PATH_BYTES + 64];
    size_t top_len = strlen(top);
    uint64_t least = UINT64_MAX;
    int len = snprintf(place, sizeof(place), "%s%s", top, path);
    if (len < 0 || (size_t)len >= sizeof(place))
        return least;
    for (;;) {
        snprintf(file, sizeof(file), "%s/%s", place, name);
        least = rusm__min_u64(least, read_number(file, UINT64_MAX));
        char *last = strrchr(place + top_len, '/');
        if (!last)
            return least;
        *last = '\0';
    }
}

/* A line is "number:controllers:path". Version 2 has number 0 and names no controllers. */
static uint64_t group_memory(char *line, const char *root) {
    char top[PATH_BYTES];
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return UINT64_MAX;
    *controllers++ = '\0';
    *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';
    if (strcmp(line, "0") == 0 && !*controllers)
        return least_upwards(root, path, "memory.max");
    if (strcmp(controllers, "memory") != 0)
        return UINT64_MAX;
    snprintf(top, sizeof(top), "%s/memory", root);
    return least_upwards(top, path, "memory.limit_in_bytes");
}

uint64_t rusm__machine_group_memory(const char *memberships, const char *root) {
    char line[PATH_BYTES];
    uint64_t least = UINT64_MAX;
    FILE *file = fopen(memberships, "re");
    if (!file)
        return least;
    while (fgets(line, sizeof(line), file))
        least = rusm__min_u64(least, group_memory(line, root));
    fclose(file);
    return least;
}

/* ---- measuring ---- */

static uint64_t memory_bytes(void) {
    uint64_t physical = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return rusm__min_u64(physical,
                         rusm__machine_group_memory("/proc/self/cgroup", "/sys/fs/cgroup"));
}

static uint64_t address_limit(void) {
    struct rlimit limit;
    bool is_limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return is_limited ? limit.rlim_cur : 0;
}

/* Of a limit: what is not in use yet, less what the program itself will want. */
static uint64_t address_bytes(uint64_t limit) {
    if (!limit)
        return ADDRESS_BYTES;
    uint64_t used = read_number("/proc/self/statm", 0) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t kept = used + rusm__min_u64(limit / 4, ADDRESSES_ELSEWHERE);
    return limit > kept ? rusm__min_u64(limit - kept, ADDRESS_BYTES) : 0;
}

void rusm__machine_measure(struct rusm__machine *out_machine) {
    uint64_t limit = address_limit();
    *out_machine = (struct rusm__machine){
        .max_map_count = read_number("/proc/sys/vm/max_map_count", MAPPINGS_DEFAULT),
        .memory_bytes = memory_bytes(),
        .address_bytes = address_bytes(limit),
        .address_limit = limit,
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
        .by_addresses =
            (uint32_t)rusm__min_u64(machine->address_bytes / RUSM__LARGE_SLOT_BYTES, UINT32_MAX),
        .by_small_addresses = at_least_one(machine->address_bytes / RUSM__SMALL_SLOT_BYTES),
    };
}

/* ---- rusm doctor ---- */

static const char *bottleneck(const struct rusm__room *room) {
    if (room->by_small_addresses < rusm__min_u64(room->by_memory, room->by_mappings))
        return "that of addresses (ulimit -v)";
    if (room->by_memory < room->by_mappings)
        return "memory";
    return "the sysctl vm.max_map_count";
}

static void add_kernel(struct rusm__buf *out) {
    struct utsname name;
    if (uname(&name) == 0)
        rusm__buf_addf(out, "kernel        %s %s\n", name.sysname, name.release);
}

static void add_addresses(const struct rusm__machine *machine, const struct rusm__room *room,
                          uint32_t most, struct rusm__buf *out) {
    rusm__buf_addf(out, "  addresses   %u of those with max-memory-mb above 16",
                   (uint32_t)rusm__min_u64(most, room->by_addresses));
    if (machine->address_limit)
        rusm__buf_addf(out, ", %u of others, with ulimit -v = %llu", room->by_small_addresses,
                       (unsigned long long)(machine->address_limit / RUSM__KIB));
    rusm__buf_add_char(out, '\n');
}

static void add_files(struct rusm__buf *out) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY)
        return;
    rusm__buf_addf(out,
                   "open files    %llu (ulimit -n), of which guests together hold %llu at most\n",
                   (unsigned long long)files.rlim_cur,
                   (unsigned long long)(files.rlim_cur - files.rlim_cur / 4));
}

static void add_room(const struct rusm__machine *machine, struct rusm__buf *out) {
    struct rusm__room room = rusm__machine_room(machine);
    uint32_t most = (uint32_t)rusm__min_u64(rusm__min_u64(room.by_mappings, room.by_memory),
                                            room.by_small_addresses);
    rusm__buf_addf(out, "guests        %u can be alive; the limit is %s\n", most,
                   bottleneck(&room));
    rusm__buf_addf(out, "  mappings    %u, with vm.max_map_count = %llu, some four each\n",
                   room.by_mappings, (unsigned long long)machine->max_map_count);
    rusm__buf_addf(out, "  memory      %u, with %llu MiB, at least %llu KiB each\n", room.by_memory,
                   (unsigned long long)(machine->memory_bytes / RUSM__MIB),
                   BYTES_PER_GUEST / RUSM__KIB);
    add_addresses(machine, &room, most, out);
    if (most == room.by_mappings && room.by_mappings < room.by_memory)
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
    add_files(out);
    rusm__buf_add_str(out,
                      rusm_engine_scans_pages()
                          ? "page scan     yes: ended guests' pages are cleaned in place\n"
                          : "page scan     no (Linux 6.7 or newer has it): ended guests' pages "
                            "go back to the kernel,\n"
                            "              and every spawn faults them in again\n");
}
