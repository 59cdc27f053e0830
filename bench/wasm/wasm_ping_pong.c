/* SPDX-License-Identifier: MIT */
/* wasm-ping-pong: messages per second between pairs of guests (rust/ball). A game is two guests and
 * BALLS messages; its referee starts both, waits for both to end and begins the next one until the
 * time is over. Starting them is counted in and does not matter: 20 us of some 20 ms. */
#include <stdlib.h>

#include "wasm.h"

enum { BALLS = 40000 };

struct game {
    BENCH_OWN_LINE struct wasm *wasm;
    uint32_t alive;
    uint64_t balls;
};

static void begin(struct game *game, rusm_proc *self) {
    rusm_runtime *rt = game->wasm->bench->rt;
    rusm_pid one = wasm_spawn(game->wasm, 0, self);
    rusm_pid two = wasm_spawn(game->wasm, 0, self);
    wasm_send(rt, two, &(struct wasm_ball){.other = one, .rounds = BALLS / 2},
              sizeof(struct wasm_ball));
    wasm_send(rt, one, &(struct wasm_ball){.other = two, .rounds = BALLS / 2, .serves = 1},
              sizeof(struct wasm_ball));
    game->alive = 2;
}

static rusm_step game_step(rusm_proc *self, void *body) {
    struct game *game = body;
    for (rusm_msg *msg = rusm_proc_receive(self); msg; msg = rusm_proc_receive(self)) {
        wasm_expect_normal(msg);
        rusm_msg_free(msg);
        game->balls += BALLS / 2;
        game->alive--;
    }
    if (game->alive) {
        return RUSM_STEP_WAIT;
    }
    if (bench_is_over(game->wasm->bench)) {
        return RUSM_STEP_EXIT;
    }
    begin(game, self);
    return RUSM_STEP_WAIT;
}

static const struct bench_body game_body = {.ops = {.name = "game", .step = game_step}};

static void start(struct bench *bench, void *arg) {
    struct game *games = arg;
    for (uint64_t i = 0; i < bench->size; i++) {
        games[i].balls = 0;
        bench_spawn(bench, &game_body, &games[i], 0);
    }
}

static void run(struct bench *bench) {
    struct wasm wasm;
    wasm_open(&wasm, bench, 0);
    struct game *games = wasm_bodies(&wasm, bench->size, sizeof(*games));
    struct bench_span span = bench_measure(bench, start, games);
    double balls = 0;
    for (uint64_t i = 0; i < bench->size; i++) {
        balls += (double)games[i].balls;
    }
    bench_report_rate(bench, balls, span, "messages/s", NULL, 0);
    free(games);
    wasm_close(&wasm);
}

int main(int argc, char **argv) {
    return bench_main(
        argc, argv,
        &(struct bench_scenario){
            .name = "wasm-ping-pong", .size_name = "pairs", .size = 1, .run = run, .wasm = true});
}
