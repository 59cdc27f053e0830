/* SPDX-License-Identifier: MIT */
/* The HTTP handler: one fresh process per request. Each entry of `actions` is an action that
 * [serve.routes] in rusm.toml can name. */
#include <stdlib.h>

#include "guest.h"

#define CALL_TIMEOUT_MS 5000
#define JOB_TIMEOUT_MS  10000
#define SLOW_MAX_MS     10000

static struct response plain(const struct buf *body) {
    return (struct response){200, TEXT("text/plain; charset=utf-8"), buf_text(body)};
}

static struct response json(unsigned status, const struct buf *body) {
    return (struct response){status, TEXT("application/json"), buf_text(body)};
}

static struct response failure(unsigned status, struct text reason) {
    struct buf body = {0};
    buf_add(&body, TEXT("{\"error\":"));
    json_add_string(&body, reason);
    buf_add(&body, TEXT("}"));
    return json(status, &body);
}

static struct response failure_owned(process_string_t *reason) {
    return failure(500, (struct text){(const char *)reason->ptr, reason->len});
}

/* ---- the store ---- */

/* The app and its greeting, which may be NULL. */
static struct response home_body(const struct text *greeting) {
    struct buf body = {0};
    buf_add(&body, TEXT("{\"app\":\"example\",\"greeting\":"));
    if (greeting != NULL) {
        json_add_string(&body, *greeting);
    } else {
        buf_add(&body, TEXT("null"));
    }
    buf_add(&body, TEXT("}"));
    return json(200, &body);
}

static struct response home(const struct request *request) {
    (void)request;
    process_string_t bucket = to_string(TEXT("app")), key = to_string(TEXT("greeting")), error;
    process_option_list_u8_t found;
    if (!rusm_runtime_kv_get(&bucket, &key, &found, &error)) {
        return failure_owned(&error);
    }
    struct text greeting = {(const char *)found.val.ptr, found.val.len};
    return home_body(found.is_some && text_is_utf8(greeting) ? &greeting : NULL);
}

static struct response set_greeting(const struct request *request) {
    if (!text_is_utf8(request->body)) {
        return failure(400, TEXT("a greeting is UTF-8 text"));
    }
    process_string_t bucket = to_string(TEXT("app")), key = to_string(TEXT("greeting")), error;
    process_list_u8_t value = to_bytes(request->body);
    if (!rusm_runtime_kv_set(&bucket, &key, &value, &error)) {
        return failure_owned(&error);
    }
    return home_body(&request->body);
}

/* ---- the resident service ---- */

static struct response ask_visits(struct text op, struct text args) {
    process_string_t name = to_string(TEXT("visits"));
    rusm_runtime_actor_pid_t service;
    if (!rusm_runtime_actor_whereis(&name, &service)) {
        return failure(503, TEXT("the visits service is not running"));
    }
    struct answer answer = call_process(service, op, args, CALL_TIMEOUT_MS, false);
    if (!answer.ok) {
        return failure(503, answer.value);
    }
    return (struct response){200, TEXT("application/json"), answer.value};
}

static struct response visit(const struct request *request) {
    if (!text_is_utf8(request->body)) {
        return failure(400, TEXT("a name is UTF-8 text"));
    }
    struct buf args = {0};
    buf_add(&args, TEXT("["));
    json_add_string(&args, request->body);
    buf_add(&args, TEXT("]"));
    return ask_visits(TEXT("add"), buf_text(&args));
}

static struct response visits(const struct request *request) {
    (void)request;
    return ask_visits(TEXT("tally"), TEXT("[]"));
}

/* ---- a worker per job ---- */

static struct text trim(struct text text) {
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\n')) {
        text = (struct text){text.ptr + 1, text.len - 1};
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\n')) {
        text.len--;
    }
    return text;
}

static struct response job_done(uint64_t n, struct text primes) {
    struct buf body = {0};
    buf_add(&body, TEXT("{\"n\":"));
    buf_add_u64(&body, n);
    buf_add(&body, TEXT(",\"primes\":"));
    buf_add(&body, primes);
    buf_add(&body, TEXT("}"));
    return json(200, &body);
}

static struct response job(const struct request *request) {
    uint64_t n;
    if (!text_u64(trim(request->body), &n) || n >= UINT32_MAX) {
        return failure(400, TEXT("send a number from 0 to 4294967294"));
    }
    process_string_t name = to_string(TEXT("worker")), error;
    rusm_runtime_actor_pid_t worker;
    if (!rusm_runtime_actor_spawn(&name, &worker, &error)) {
        return failure_owned(&error);
    }
    struct buf args = {0};
    buf_add(&args, TEXT("["));
    buf_add_u64(&args, n);
    buf_add(&args, TEXT("]"));
    struct answer answer =
        call_process(worker, TEXT("primes"), buf_text(&args), JOB_TIMEOUT_MS, true);
    return answer.ok ? job_done(n, answer.value) : failure(500, answer.value);
}

/* ---- the rest ---- */

static struct response hello(const struct request *request) {
    struct buf body = {0};
    buf_add(&body, TEXT("Hello, "));
    buf_add(&body, request_param(request, TEXT("name")));
    buf_add(&body, TEXT("!\n"));
    return plain(&body);
}

static struct response echo(const struct request *request) {
    return (struct response){200, TEXT("application/octet-stream"), request->body};
}

/* A handler that waits costs no thread. */
static struct response slow(const struct request *request) {
    uint64_t ms;
    if (!text_u64(request_param(request, TEXT("ms")), &ms)) {
        ms = 0;
    }
    ms = ms < SLOW_MAX_MS ? ms : SLOW_MAX_MS;
    process_list_u8_t ignored;
    rusm_runtime_actor_receive_timeout(ms, &ignored);
    struct buf body = {0};
    buf_add(&body, TEXT("waited "));
    buf_add_u64(&body, ms);
    buf_add(&body, TEXT(" ms\n"));
    return plain(&body);
}

/* Ends this process; the client gets a 502, nobody else notices. */
static struct response crash(const struct request *request) {
    (void)request;
    abort();
}

static const struct action {
    struct text name;
    struct response (*run)(const struct request *request);
} actions[] = {
    {TEXT("home"), home},   {TEXT("set_greeting"), set_greeting},
    {TEXT("hello"), hello}, {TEXT("echo"), echo},
    {TEXT("visit"), visit}, {TEXT("visits"), visits},
    {TEXT("job"), job},     {TEXT("slow"), slow},
    {TEXT("crash"), crash},
};

static struct response dispatch(const struct request *request) {
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (text_equals(actions[i].name, request->action)) {
            return actions[i].run(request);
        }
    }
    struct buf body = {0};
    buf_add(&body, TEXT("no such action"));
    return (struct response){404, TEXT("text/plain; charset=utf-8"), buf_text(&body)};
}

void exports_process_run(void) {
    struct request request;
    if (request_receive(&request)) {
        struct response response = dispatch(&request);
        request_answer(&request, &response);
    }
}
