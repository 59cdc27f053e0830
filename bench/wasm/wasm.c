/* SPDX-License-Identifier: MIT */
#include "wasm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rusm/error.h"

#include "base/buf.h"
#include "hostcall/hostcall.h"

enum { LARGEST_FILE = 64 << 20 };

_Noreturn static void fail(const char *what, const char *text) {
    fprintf(stderr, "bench: %s: %s\n", what, text);
    exit(1);
}

/* The whole file, for free(). */
static void *read_file(const char *path, size_t *out_len) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        fail(path, "cannot be read");
    }
    long len = ftell(file);
    if (len <= 0 || len > LARGEST_FILE || fseek(file, 0, SEEK_SET) != 0) {
        fail(path, "is empty, or larger than 64 MiB");
    }
    void *bytes = bench_alloc(1, (size_t)len);
    if (fread(bytes, 1, (size_t)len, file) != (size_t)len) {
        fail(path, "cannot be read");
    }
    fclose(file);
    *out_len = (size_t)len;
    return bytes;
}

static struct rusm__component *load(struct wasm *wasm, const char *path) {
    struct rusm__component_options options = {
        .name = "guest", .profile = &wasm->profile, .origin = path};
    struct rusm__component *component = NULL;
    struct rusm__buf error;
    size_t len;
    void *bytes = read_file(path, &len);
    rusm__buf_init(&error);
    if (rusm__component_load(wasm->sandbox, bytes, len, &options, &component, &error) < 0) {
        fail(path, rusm__buf_cstr(&error));
    }
    rusm__buf_fini(&error);
    free(bytes);
    return component;
}

void wasm_open(struct wasm *wasm, struct bench *bench, uint32_t max_instances) {
    wasm_open_with(wasm, bench, max_instances, NULL);
}

void wasm_open_with(struct wasm *wasm, struct bench *bench, uint32_t max_instances,
                    const rusm_bridge *bridge) {
    *wasm = (struct wasm){.bench = bench};
    wasm->profile = (struct rusm__profile){.name = "bench",
                                           .max_memory_bytes = (uint64_t)bench->memory_mb << 20,
                                           .max_message_bytes = 1 << 20,
                                           .cpu_ms = bench->limit_ms,
                                           .deadline_ms = bench->limit_ms,
                                           .max_children = 1024,
                                           .max_names = 16,
                                           .max_timers = 16,
                                           .max_streams = 16};
    wasm->profile.bridges = bridge ? 1 : 0;
    struct rusm__hostcall_options calls = {
        .runtime = bench->rt, .bridges = bridge, .bridge_count = bridge ? 1 : 0};
    struct rusm__buf error;
    rusm__buf_init(&error);
    bench_check(rusm__hostcall_open(&calls, &wasm->hostcall, &error), "host calls");
    struct rusm__sandbox_options sandbox = {.runtime = bench->rt, .max_instances = max_instances};
    rusm__hostcall_fill(wasm->hostcall, &sandbox);
    if (rusm__sandbox_open(&sandbox, &wasm->sandbox, &error) < 0) {
        fail("sandbox", rusm__buf_cstr(&error));
    }
    rusm__buf_fini(&error);
    for (uint32_t i = 0; i < bench->guest_count; i++) {
        wasm->components[i] = load(wasm, bench->guests[i]);
    }
}

void wasm_close(struct wasm *wasm) {
    rusm__sandbox_calm(wasm->sandbox);
    rusm_runtime_stop(wasm->bench->rt);
    wasm->bench->rt = NULL;
    rusm__sandbox_close(wasm->sandbox);
    rusm__hostcall_close(wasm->hostcall);
}

void *wasm_bodies(struct wasm *wasm, uint64_t count, size_t bytes) {
    unsigned char *bodies = bench_alloc(count, bytes);
    for (uint64_t i = 0; i < count; i++) {
        memcpy(bodies + i * bytes, &wasm, sizeof(wasm));
    }
    return bodies;
}

static rusm_pid spawn(struct wasm *wasm, unsigned which,
                      const struct rusm__component_spawn *options) {
    struct rusm__component *component = wasm->components[which];
    rusm_pid pid;
    int code = rusm__component_spawn(component, options, &pid);
    if (code < 0) {
        struct rusm__buf text;
        rusm__buf_init(&text);
        rusm__component_explain(component, code, NULL, &text);
        fail("spawn of a guest", rusm__buf_cstr(&text));
    }
    return pid;
}

rusm_pid wasm_spawn(struct wasm *wasm, unsigned which, rusm_proc *self) {
    return spawn(wasm, which, &(struct rusm__component_spawn){.monitor_by = rusm_proc_pid(self)});
}

rusm_pid wasm_spawn_alone(struct wasm *wasm, unsigned which) {
    return spawn(wasm, which, &(struct rusm__component_spawn){0});
}

void wasm_send(rusm_runtime *rt, rusm_pid to, const void *bytes, size_t len) {
    rusm_msg *msg;
    bench_check(rusm_msg_copy(bytes, len, &msg), "message");
    bench_check(rusm_msg_send(rt, to, msg), "send");
}

void wasm_expect_normal(rusm_msg *down) {
    if (rusm_msg_exit_kind(down) != RUSM_EXIT_NORMAL) {
        fail("a guest ended", (const char *)rusm_msg_data(down));
    }
}
