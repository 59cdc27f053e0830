/* SPDX-License-Identifier: MIT */
/* host-call: calls per second that guests make of a bridge whose function adds one. A guest calls
 * until it is told that the time is over, with the number of its calls so far; its referee starts
 * it and waits for its end. */
#include <stdlib.h>

#include "wasm.h"

struct player {
    BENCH_OWN_LINE struct wasm *wasm;
    bool started;
};

/* What the bridge knows. */
static struct {
    struct bench *bench;
    _Atomic uint64_t calls; /* of guests that have ended */
} table;

static int next(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    uint64_t number = args[0].as.u;
    (void)call;
    if (bench_is_over(table.bench)) {
        /* relaxed: read after the guests have ended */
        atomic_fetch_add_explicit(&table.calls, number + 1, memory_order_relaxed);
        number = UINT64_MAX; /* and one is 0: the guest ends */
    }
    *answer = rusm_value_unsigned(RUSM_TYPE_U64, number + 1);
    return RUSM_OK;
}

static const rusm_bridge_function function = {"next", "func(n: u64) -> u64", next, 0, 0};
static const rusm_bridge bridge = {sizeof(bridge), "bench", "bench:host/calls@0.1.0",
                                   &function,      1,       NULL};

static rusm_step player_step(rusm_proc *self, void *body) {
    struct player *player = body;
    if (!player->started) {
        player->started = true;
        wasm_spawn(player->wasm, 0, self);
        return RUSM_STEP_WAIT;
    }
    rusm_msg *down = rusm_proc_receive(self);
    if (!down) {
        return RUSM_STEP_WAIT;
    }
    wasm_expect_normal(down);
    rusm_msg_free(down);
    return RUSM_STEP_EXIT;
}

static const struct bench_body player_body = {.ops = {.name = "player", .step = player_step}};

static void start(struct bench *bench, void *arg) {
    struct player *players = arg;
    /* relaxed: nobody plays */
    atomic_store_explicit(&table.calls, 0, memory_order_relaxed);
    for (uint64_t i = 0; i < bench->size; i++) {
        players[i].started = false;
        bench_spawn(bench, &player_body, &players[i], 0);
    }
}

static void run(struct bench *bench) {
    struct wasm wasm;
    table.bench = bench;
    wasm_open_with(&wasm, bench, 0, &bridge);
    struct player *players = wasm_bodies(&wasm, bench->size, sizeof(*players));
    struct bench_span span = bench_measure(bench, start, players);
    double calls = (double)atomic_load_explicit(&table.calls, memory_order_relaxed);
    bench_report_rate(bench, calls, span, "calls/s", NULL, 0);
    free(players);
    wasm_close(&wasm);
}

int main(int argc, char **argv) {
    return bench_main(
        argc, argv,
        &(struct bench_scenario){
            .name = "host-call", .size_name = "guests", .size = 1, .run = run, .wasm = true});
}
