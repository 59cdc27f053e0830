/* SPDX-License-Identifier: MIT */
/* idle-wasm: resident bytes of this program per guest that waits for a message, everything
 * included: memory, stack, instance, process. Each guest is sent who its nurse is, tells it that it
 * is there, and waits. A hundred are there before, so that whatever is made once is made. */
#include <stdlib.h>

#include "wasm.h"

enum { BATCH = 64, FIRST = 100 };

struct nurse {
    BENCH_OWN_LINE struct wasm *wasm;
    uint64_t left;
    uint64_t under_way;
    _Atomic bool done;
};

static void start_one(struct nurse *nurse, rusm_proc *self) {
    rusm_pid guest = wasm_spawn_alone(nurse->wasm, 0);
    /* What `ball` and parked.wat both understand. */
    wasm_send(nurse->wasm->bench->rt, guest,
              &(struct wasm_ball){.other = rusm_proc_pid(self), .rounds = 1, .serves = 1},
              sizeof(struct wasm_ball));
    nurse->left--;
    nurse->under_way++;
}

static rusm_step nurse_step(rusm_proc *self, void *body) {
    struct nurse *nurse = body;
    for (rusm_msg *msg = rusm_proc_receive(self); msg; msg = rusm_proc_receive(self)) {
        rusm_msg_free(msg);
        nurse->under_way--;
    }
    while (nurse->left && nurse->under_way < BATCH) {
        start_one(nurse, self);
    }
    if (nurse->left || nurse->under_way) {
        return RUSM_STEP_WAIT;
    }
    /* release: the main thread reads on only then (acquire in park) */
    atomic_store_explicit(&nurse->done, true, memory_order_release);
    return RUSM_STEP_EXIT;
}

static const struct bench_body nurse_body = {.ops = {.name = "nurse", .step = nurse_step}};

static void park(struct wasm *wasm, uint64_t count) {
    struct bench *bench = wasm->bench;
    struct nurse *nurses = wasm_bodies(wasm, bench->threads, sizeof(*nurses));
    for (uint32_t i = 0; i < bench->threads; i++) {
        nurses[i].left = count / bench->threads + (i < count % bench->threads);
        bench_spawn(bench, &nurse_body, &nurses[i], RUSM_SPAWN_PINNED);
    }
    for (uint32_t i = 0; i < bench->threads; i++) {
        /* acquire: pairs with the release in nurse_step */
        while (!atomic_load_explicit(&nurses[i].done, memory_order_acquire)) {
            bench_sleep(1e-3);
        }
    }
    bench_sleep(0.1); /* the last ones are on their way into their wait */
    free(nurses);
}

static void run(struct bench *bench) {
    struct wasm wasm;
    wasm_open(&wasm, bench, (uint32_t)(bench->size + FIRST));
    park(&wasm, FIRST);
    uint64_t before = bench_rss();
    park(&wasm, bench->size);
    uint64_t after = bench_rss();
    bench_report(bench, &(struct bench_result){
                            .value = (double)(after - before) / (double)bench->size,
                            .unit = "bytes/guest",
                            .rss_bytes = after,
                        });
    wasm_close(&wasm);
}

int main(int argc, char **argv) {
    return bench_main(
        argc, argv,
        &(struct bench_scenario){
            .name = "idle-wasm", .size_name = "guests", .size = 3000, .run = run, .wasm = true});
}
