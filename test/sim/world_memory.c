/* SPDX-License-Identifier: MIT */
/* The allocator of the simulated core: counts what lives, and looks after what is dead. A freed
 * block is filled and kept for a while; whoever writes to it, or frees it again, is found. With
 * a sanitizer, which does that better, it only counts.
 *
 *     [ ... | head ][ payload ... ]       payload aligned as wanted */
#include "world_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "world_calls.h"

enum { KEPT = 512, LIVE = 0x51acc0de, DEAD = 0x5de1e7ed, FRESH_BYTE = 0xa5, DEAD_BYTE = 0xdd };

struct head {
    size_t bytes;
    uint32_t offset; /* of the payload in its block */
    uint32_t mark;
};
_Static_assert(sizeof(struct head) == 16, "the payload stays aligned");

static size_t live_blocks, live_bytes;
static void *kept[KEPT];
static unsigned next_kept;

static struct head *head_of(void *memory) {
    return (struct head *)memory - 1;
}

void *sim_alloc(size_t bytes, size_t alignment, bool zeroed) {
    size_t offset = alignment < sizeof(struct head) ? sizeof(struct head) : alignment;
    if (bytes > SIZE_MAX / 2) {
        return NULL;
    }
    size_t whole = (offset + bytes + alignment - 1) / alignment * alignment;
    char *block = aligned_alloc(alignment, whole);
    if (!block) {
        return NULL;
    }
    memset(block + offset, zeroed ? 0 : FRESH_BYTE, bytes);
    *head_of(block + offset) =
        (struct head){.bytes = bytes, .offset = (uint32_t)offset, .mark = LIVE};
    live_blocks++;
    live_bytes += bytes;
    return block + offset;
}

static void release(void *memory) {
    free((char *)memory - head_of(memory)->offset);
}

#ifndef RUSM_SANITIZED
static void check_dead(void *memory) {
    const struct head *head = head_of(memory);
    const unsigned char *at = memory;
    for (size_t i = 0; i < head->bytes; i++) {
        if (at[i] != DEAD_BYTE) {
            sim_fail("byte %zu of a freed block of %zu was written", i, head->bytes);
        }
    }
}

static void keep(void *memory) {
    memset(memory, DEAD_BYTE, head_of(memory)->bytes);
    void *oldest = kept[next_kept];
    kept[next_kept] = memory;
    next_kept = (next_kept + 1) % KEPT;
    if (oldest) {
        check_dead(oldest);
        release(oldest);
    }
}
#else
static void keep(void *memory) {
    (void)kept;
    (void)next_kept;
    release(memory);
}
#endif

void sim_free(void *memory) {
    if (!memory) {
        return;
    }
    sim_flush(); /* our own stores to it were before */
    struct head *head = head_of(memory);
    if (head->mark != LIVE) {
        sim_fail(head->mark == DEAD ? "a block is freed twice" : "what is freed is no block");
    }
    head->mark = DEAD;
    live_blocks--;
    live_bytes -= head->bytes;
    keep(memory);
}

void *sim_realloc(void *old, size_t bytes) {
    void *fresh = sim_alloc(bytes, sizeof(struct head), false);
    if (fresh && old) {
        size_t had = head_of(old)->bytes;
        memcpy(fresh, old, had < bytes ? had : bytes);
        sim_free(old);
    }
    return fresh;
}

void *sim_map(size_t bytes, int protection, int flags) {
    void *memory = sim_fault(64) ? MAP_FAILED : mmap(NULL, bytes, protection, flags, -1, 0);
    if (memory != MAP_FAILED) {
        live_blocks++;
        live_bytes += bytes;
    }
    return memory;
}

int sim_unmap(void *memory, size_t bytes) {
    live_blocks--;
    live_bytes -= bytes;
    return munmap(memory, bytes);
}

size_t sim_live_blocks(void) {
    return live_blocks;
}

size_t sim_live_bytes(void) {
    return live_bytes;
}
