/* SPDX-License-Identifier: MIT */
/* component-storm, module-storm, guest-storm: guests per second that are spawned, run, end and are
 * seen to end. One spawner on every scheduler keeps --size guests in flight, all together; with
 * several --guest it takes them in turn. The programs differ in their names and in this: with
 * guest-storm a guest gets a message whose first eight bytes are the spawner's pid, and answers.
 *
 * dynamic-wasm: the guest `forker` starts 200 others by spawn-from, one after the other, from one
 * inline source; those are counted. All but the first are hot. */
#include <stdlib.h>
#include <string.h>

#include "wasm.h"

#include "hostcall/hostcall.h"

enum { FORKS = 200 }; /* of one forker, as its text says */

struct spawner {
    BENCH_OWN_LINE struct wasm *wasm;
    bool echo;
    uint32_t window;
    uint32_t alive;
    uint64_t spawned;
    uint64_t answers;
};

static void start_one(struct spawner *spawner, rusm_proc *self) {
    struct wasm *wasm = spawner->wasm;
    unsigned which = (unsigned)(spawner->spawned % wasm->bench->guest_count);
    rusm_pid guest = wasm_spawn(wasm, which, self);
    if (spawner->echo) {
        rusm_pid pid = rusm_proc_pid(self);
        wasm_send(wasm->bench->rt, guest, &pid, sizeof(pid));
    }
    spawner->spawned++;
    spawner->alive++;
}

static void hear(struct spawner *spawner, rusm_msg *msg) {
    if (rusm_msg_get_kind(msg) == RUSM_MSG_DOWN) {
        wasm_expect_normal(msg);
        spawner->alive--;
    } else {
        spawner->answers++;
    }
    rusm_msg_free(msg);
}

static rusm_step spawner_step(rusm_proc *self, void *body) {
    struct spawner *spawner = body;
    for (rusm_msg *msg = rusm_proc_receive(self); msg; msg = rusm_proc_receive(self)) {
        hear(spawner, msg);
    }
    bool over = bench_is_over(spawner->wasm->bench);
    while (!over && spawner->alive < spawner->window) {
        start_one(spawner, self);
    }
    return over && !spawner->alive ? RUSM_STEP_EXIT : RUSM_STEP_WAIT;
}

static const struct bench_body spawner_body = {.ops = {.name = "spawner", .step = spawner_step},
                                               .mailbox = 1 << 16};

static void start(struct bench *bench, void *arg) {
    struct spawner *spawners = arg;
    for (uint32_t i = 0; i < bench->threads; i++) {
        spawners[i].spawned = 0;
        spawners[i].answers = 0;
        bench_spawn(bench, &spawner_body, &spawners[i], RUSM_SPAWN_PINNED);
    }
}

static uint64_t total(const struct bench *bench, const struct spawner *spawners) {
    uint64_t spawned = 0;
    uint64_t answers = 0;
    for (uint32_t i = 0; i < bench->threads; i++) {
        spawned += spawners[i].spawned;
        answers += spawners[i].answers;
    }
    bench_check(spawners->echo && answers != spawned ? -1 : 0, "answers of the guests");
    return spawned;
}

/* What the forkers start code under; they themselves may spawn. */
static void add_template(struct wasm *wasm) {
    struct rusm__template_options tpl = {.name = "tpl", .profile = &wasm->profile};
    wasm->profile.spawn = true;
    bench_check(rusm__hostcall_add_template(wasm->hostcall, wasm->sandbox, &tpl), "template");
}

static void run(struct bench *bench) {
    struct wasm wasm;
    bool forks = strcmp(bench->scenario->name, "dynamic-wasm") == 0;
    wasm_open(&wasm, bench, 0);
    if (forks)
        add_template(&wasm);
    struct spawner *spawners = wasm_bodies(&wasm, bench->threads, sizeof(*spawners));
    for (uint32_t i = 0; i < bench->threads; i++) {
        spawners[i].echo = strcmp(bench->scenario->name, "guest-storm") == 0;
        spawners[i].window = (uint32_t)(bench->size / bench->threads) + 1;
    }
    struct bench_span span = bench_measure(bench, start, spawners);
    double spawns = (double)total(bench, spawners) * (forks ? FORKS : 1);
    bench_report_rate(bench, spawns, span, "spawns/s", NULL, 0);
    free(spawners);
    wasm_close(&wasm);
}

int main(int argc, char **argv) {
    /* BENCH_NAME and BENCH_SIZE come from the build: four programs of one source. */
    return bench_main(argc, argv,
                      &(struct bench_scenario){.name = BENCH_NAME,
                                               .size_name = "flying",
                                               .size = BENCH_SIZE,
                                               .run = run,
                                               .wasm = true});
}
