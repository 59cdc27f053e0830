/* SPDX-License-Identifier: MIT */
/* fairness: how guests fare beside guests that never stop computing. --size guests of the second
 * --guest loop on every core. Eight others (rust/ball, the first --guest) each have a player, a
 * native process that sleeps for a millisecond, sends a ball and waits until it comes back. The
 * delay of a trip is all the time beyond that millisecond: until the player is woken, until the
 * guest runs, until the player has the ball again. Figures: the 99th percentile of the delays, and
 * how many trips there are in a second. */
#include <stdlib.h>

#include "wasm.h"

enum { PLAYERS = 8, PAUSE_NS = 1000000, FOR_EVER = 1 << 30 };

struct player {
    BENCH_OWN_LINE struct wasm *wasm;
    rusm_pid guest;
    bool playing; /* a ball is under way */
    uint64_t due_ns;
    uint64_t balls;
    struct bench_latency latency;
};

static void begin(struct player *player, rusm_proc *self) {
    player->guest = wasm_spawn_alone(player->wasm, 0);
    wasm_send(player->wasm->bench->rt, player->guest,
              &(struct wasm_ball){.other = rusm_proc_pid(self), .rounds = FOR_EVER},
              sizeof(struct wasm_ball));
}

static void come_back(struct player *player) {
    uint64_t now = rusm_now_ns();
    bench_latency_add(&player->latency, now - player->due_ns);
    player->balls++;
    player->playing = false;
    player->due_ns = now + PAUSE_NS;
}

static void serve(struct player *player, rusm_proc *self) {
    if (player->playing) {
        return;
    }
    if (rusm_now_ns() < player->due_ns) {
        bench_check(rusm_proc_wake_at(self, player->due_ns), "timer");
        return;
    }
    player->playing = true;
    wasm_send(player->wasm->bench->rt, player->guest, "the ball", 8);
}

static rusm_step player_step(rusm_proc *self, void *body) {
    struct player *player = body;
    if (!player->guest) {
        begin(player, self);
        player->due_ns = rusm_now_ns() + PAUSE_NS;
    }
    for (rusm_msg *msg = rusm_proc_receive(self); msg; msg = rusm_proc_receive(self)) {
        rusm_msg_free(msg);
        come_back(player);
    }
    if (!player->playing && bench_is_over(player->wasm->bench)) {
        rusm_pid_kill(player->wasm->bench->rt, player->guest);
        player->guest = 0;
        return RUSM_STEP_EXIT;
    }
    serve(player, self);
    return RUSM_STEP_WAIT;
}

static const struct bench_body player_body = {.ops = {.name = "player", .step = player_step}};

static void start(struct bench *bench, void *arg) {
    struct player *players = arg;
    for (unsigned i = 0; i < PLAYERS; i++) {
        players[i] = (struct player){.wasm = players[i].wasm};
        bench_spawn(bench, &player_body, &players[i], 0);
    }
}

static void play(struct wasm *wasm, struct player *players) {
    struct bench *bench = wasm->bench;
    struct bench_span span = bench_measure(bench, start, players);
    struct bench_latency latency = {0};
    double balls = 0;
    for (unsigned i = 0; i < PLAYERS; i++) {
        bench_latency_merge(&latency, &players[i].latency);
        balls += (double)players[i].balls;
    }
    bench_report(bench, &(struct bench_result){.suffix = "-p99",
                                               .value = bench_latency_us(&latency, 0.99),
                                               .unit = "us",
                                               .latency = &latency});
    bench_report_rate(bench, balls, span, "trips/s", NULL, 0);
}

static void run(struct bench *bench) {
    struct wasm wasm;
    bench_check(bench->guest_count == 2 ? 0 : -1, "two guests are needed");
    wasm_open(&wasm, bench, 0);
    uint64_t loops = bench->size * bench->threads;
    rusm_pid *loopers = bench_alloc(loops + 1, sizeof(*loopers));
    for (uint64_t i = 0; i < loops; i++) {
        loopers[i] = wasm_spawn_alone(&wasm, 1);
    }
    struct player *players = wasm_bodies(&wasm, PLAYERS, sizeof(*players));
    play(&wasm, players);
    for (uint64_t i = 0; i < loops; i++) {
        rusm_pid_kill(bench->rt, loopers[i]);
    }
    bench_wait_processes(bench, 0);
    free(players);
    free(loopers);
    wasm_close(&wasm);
}

int main(int argc, char **argv) {
    return bench_main(
        argc, argv,
        &(struct bench_scenario){
            .name = "fairness", .size_name = "loops", .size = 1, .run = run, .wasm = true});
}
