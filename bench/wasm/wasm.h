/* SPDX-License-Identifier: MIT */
/* What the benches of guests add to bench/core: a small node without manifest and listeners. The
 * sandbox and the host calls are the node's own; the guests come from --guest, their profile is the
 * one that sandboxed components have, with the ceiling of --memory-mb and, for --limit-ms, with
 * limits of time. */
#ifndef BENCH_WASM_H
#define BENCH_WASM_H

#include "rusm/bridge.h"

#include "../core/bench.h"
#include "sandbox/sandbox.h"

struct wasm {
    struct bench *bench;
    struct rusm__hostcall *hostcall;
    struct rusm__sandbox *sandbox;
    struct rusm__profile profile;
    struct rusm__component *components[BENCH_GUESTS]; /* one per --guest */
};

/* Room for so many guests at once, 0 = the default. Ends the program on failure. */
void wasm_open(struct wasm *wasm, struct bench *bench, uint32_t max_instances);
/* The same, with a bridge that the guests may call; NULL: none. */
void wasm_open_with(struct wasm *wasm, struct bench *bench, uint32_t max_instances,
                    const rusm_bridge *bridge);
/* Every guest has ended. Stops the runtime: bench_main's own stop is then one of nothing. */
void wasm_close(struct wasm *wasm);

/* Bodies of `bytes` each for count processes, zeroed; the first member of each is the wasm. free()
 * gives them back. */
void *wasm_bodies(struct wasm *wasm, uint64_t count, size_t bytes);

/* Start guest `which`, watched by the calling process: a DOWN with reference 0. */
rusm_pid wasm_spawn(struct wasm *wasm, unsigned which, rusm_proc *self);
/* From the main thread, unwatched. */
rusm_pid wasm_spawn_alone(struct wasm *wasm, unsigned which);
/* A copy of len bytes; any thread. */
void wasm_send(rusm_runtime *rt, rusm_pid to, const void *bytes, size_t len);

/* The order that guest `ball` begins with. */
struct wasm_ball {
    rusm_pid other;
    uint64_t rounds; /* balls to receive before it ends */
    uint64_t serves; /* 1: it sends the first one */
};

/* A DOWN of a guest that ended well, or the end of the program. */
void wasm_expect_normal(rusm_msg *down);

#endif
