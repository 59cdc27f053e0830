/* SPDX-License-Identifier: MIT */
/* A host interface of the program's own. The guest, written as text here, asks the bridge `weather`
 * twice: `warmest` answers at once, `advice` when this program's main thread has thought about it.
 *
 *     interface weather {
 *         warmest: func(city: string, days: u32) -> result<f64, string>;
 *         advice: func(degrees: f64) -> string;
 *     }
 */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rusm/rusm.h"

static const char manifest[] = "[capabilities.forecaster]\n"
                               "bridges = [\"weather\"]\n"
                               "[components.forecast]\n"
                               "capability = \"forecaster\"\n"
                               "resident = true\n";

/* warmest("Oslo", 3), then advice(of what came), which ends it with a trap if it is empty. */
static const char guest[] =
    "(component (import \"app:weather/weather@0.1.0\" (instance $w"
    " (export \"warmest\" (func (param \"city\" string) (param \"days\" u32)"
    "  (result (result f64 (error string)))))"
    " (export \"advice\" (func (param \"degrees\" f64) (result string)))))"
    "(core module $libc (memory (export \"memory\") 1) (global $top (mut i32) (i32.const 1024))"
    " (func (export \"realloc\") (param i32 i32 i32 i32) (result i32)"
    "  (global.set $top (i32.add (global.get $top) (local.get 3)))"
    "  (i32.sub (global.get $top) (local.get 3))))"
    "(core instance $libc (instantiate $libc))"
    "(core func $warmest (canon lower (func $w \"warmest\") (memory (core memory $libc \"memory\"))"
    " (realloc (core func $libc \"realloc\"))))"
    "(core func $advice (canon lower (func $w \"advice\") (memory (core memory $libc \"memory\"))"
    " (realloc (core func $libc \"realloc\"))))"
    "(core module $m (import \"w\" \"warmest\" (func $warmest (param i32 i32 i32 i32)))"
    " (import \"w\" \"advice\" (func $advice (param f64 i32)))"
    " (import \"l\" \"memory\" (memory 1)) (data (i32.const 64) \"Oslo\")"
    " (func (export \"run\")"
    "  (call $warmest (i32.const 64) (i32.const 4) (i32.const 3) (i32.const 16))"
    "  (if (i32.load8_u (i32.const 16)) (then unreachable))"
    "  (call $advice (f64.load (i32.const 24)) (i32.const 40))"
    "  (if (i32.eqz (i32.load (i32.const 44))) (then unreachable))))"
    "(core instance $m (instantiate $m"
    " (with \"w\" (instance (export \"warmest\" (func $warmest)) (export \"advice\" (func "
    "$advice))))"
    " (with \"l\" (instance $libc))))"
    "(func (export \"run\") (canon lift (core func $m \"run\"))))";

/* ---- the bridge ---- */

/* What the guest asks and main answers. */
struct desk {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char city[32];
    double degrees;
    rusm_parked *parked;
};

static int warmest(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    struct desk *desk = rusm_bridge_data(call);
    int len = args[0].as.bytes.len < sizeof(desk->city) ? (int)args[0].as.bytes.len : 0;
    if (len == 0 || args[1].as.u > 14) {
        static const char far[] = "nobody knows";
        *answer = rusm_value_error(rusm_value_bytes(RUSM_TYPE_STRING, far, sizeof(far) - 1));
        return RUSM_OK;
    }
    pthread_mutex_lock(&desk->lock); /* held for moments only, so nobody waits here */
    memcpy(desk->city, args[0].as.bytes.data, (size_t)len);
    desk->city[len] = '\0';
    pthread_mutex_unlock(&desk->lock);
    *answer = rusm_value_f64(20.5 + (double)args[1].as.u / 2);
    return RUSM_OK;
}

static int advice(rusm_bridge_call *call, const rusm_value *args, rusm_value *answer) {
    struct desk *desk = rusm_bridge_data(call);
    rusm_parked *parked;
    (void)answer; /* it comes later */
    int code = rusm_bridge_park(call, &parked);
    if (code < 0)
        return code;
    pthread_mutex_lock(&desk->lock);
    desk->degrees = args[0].as.f64;
    desk->parked = parked;
    pthread_cond_signal(&desk->changed);
    pthread_mutex_unlock(&desk->lock);
    return RUSM_EAGAIN;
}

static const rusm_bridge_function functions[] = {
    {"warmest", "func(city: string, days: u32) -> result<f64, string>", warmest, 0, 0},
    {"advice", "func(degrees: f64) -> string", advice, RUSM_BRIDGE_MAY_PARK, 0},
};

/* ---- the program ---- */

static int write_file(const char *folder, const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (!file)
        return -1;
    int result = fputs(text, file);
    return fclose(file) == 0 && result >= 0 ? 0 : -1;
}

static void remove_app(const char *folder) {
    char path[128];
    snprintf(path, sizeof(path), "%s/wasm/forecast.wasm", folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/wasm", folder);
    rmdir(path);
    snprintf(path, sizeof(path), "%s/rusm.toml", folder);
    unlink(path);
    rmdir(folder);
}

static int make_app(char *folder) {
    char path[128];
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/wasm", folder);
    if (mkdir(path, 0700) < 0 || write_file(folder, "rusm.toml", manifest) < 0)
        return -1;
    return write_file(path, "forecast.wasm", guest);
}

/* Half a minute at most. */
static int wait_for_question(struct desk *desk) {
    struct timespec until;
    int result = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&desk->lock);
    while (!desk->parked && result == 0)
        result = pthread_cond_timedwait(&desk->changed, &desk->lock, &until);
    pthread_mutex_unlock(&desk->lock);
    return result;
}

static int wait_for_end(const rusm_node *node) {
    struct timespec nap = {0, 1000000};
    for (int i = 0; i < 30000 && rusm_node_process_count(node) != 0; i++)
        nanosleep(&nap, NULL);
    return rusm_node_process_count(node) == 0 ? 0 : -1;
}

static int talk(rusm_node *node, struct desk *desk) {
    static const char text[] = "leave the coat at home";
    if (wait_for_question(desk) != 0)
        return -1;
    printf("%s: what to do at %.1f degrees?\n", desk->city, desk->degrees);
    rusm_value answer = rusm_value_bytes(RUSM_TYPE_STRING, text, sizeof(text) - 1);
    rusm_parked_answer(desk->parked, &answer);
    if (wait_for_end(node) != 0)
        return -1;
    puts("the guest was content");
    return 0;
}

int main(void) {
    struct desk desk = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, "", 0, NULL};
    const rusm_bridge bridge = {sizeof(bridge), "weather", "app:weather/weather@0.1.0",
                                functions,      2,         &desk};
    char folder[] = "/tmp/rusm-bridge-XXXXXX";
    rusm_node_options options = {.size = sizeof(options),
                                 .mode = RUSM_NODE_RUN,
                                 .root = folder,
                                 .schedulers = 2,
                                 .bridges = &bridge,
                                 .bridge_count = 1};
    rusm_problem problem = {0};
    rusm_node *node = NULL;
    int result = 1;
    setenv("RUSM_CACHE_DIR", "", 1); /* one small guest needs no cache */
    if (make_app(folder) < 0)
        perror(folder);
    else if (rusm_node_start(&options, &node, &problem) < 0)
        fprintf(stderr, "%s\n", problem.text ? problem.text : rusm_error_text(problem.code));
    else
        result = talk(node, &desk) < 0;
    rusm_problem_clear(&problem);
    rusm_node_stop(node);
    remove_app(folder);
    return result;
}
