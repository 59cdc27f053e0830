/* SPDX-License-Identifier: MIT */
/* A handler that answers in every way that it should not, and in some unusual ones that it may. The
 * action decides; the reply is written by hand, past the helper that would keep it tidy. */
#include <stdlib.h>

#include "guest.h"

static void reply_text(const struct request *request, struct text json) {
    process_list_u8_t bytes = to_bytes(json);
    rusm_runtime_actor_send(request->from, &bytes);
}

/* 200 with these headers (JSON) and this body (base 64). */
static void reply_with(const struct request *request, struct text status, struct text headers,
                       struct text body) {
    struct buf out = {0};
    buf_add(&out, TEXT("{\"ref\":0,\"ok\":{\"status\":"));
    buf_add(&out, status);
    buf_add(&out, TEXT(",\"headers\":"));
    buf_add(&out, headers);
    buf_add(&out, TEXT(",\"body\":\""));
    buf_add(&out, body);
    buf_add(&out, TEXT("\"}}"));
    reply_text(request, buf_text(&out));
}

static void plain(const struct request *request) {
    reply_with(request, TEXT("200"), TEXT("[]"), TEXT("b2s="));
}

static void silent(const struct request *request) {
    (void)request;
}

static void refuse(const struct request *request) {
    reply_text(request, TEXT("{\"ref\":0,\"err\":\"not today\"}"));
}

static void status_1000(const struct request *request) {
    reply_with(request, TEXT("1000"), TEXT("[]"), TEXT(""));
}

static void status_101(const struct request *request) {
    reply_with(request, TEXT("101"), TEXT("[]"), TEXT(""));
}

static void status_404(const struct request *request) {
    reply_with(request, TEXT("404"), TEXT("[[\"x-odd\",\"yes\"]]"), TEXT("bm8="));
}

static void empty_ok(const struct request *request) {
    reply_text(request, TEXT("{\"ref\":0}"));
}

static void garbage(const struct request *request) {
    reply_text(request, TEXT("this is not JSON"));
}

static void bad_base64(const struct request *request) {
    reply_with(request, TEXT("200"), TEXT("[]"), TEXT("!!!!"));
}

static void no_headers(const struct request *request) {
    reply_text(request, TEXT("{\"ref\":0,\"ok\":{\"status\":200}}"));
}

static void other_ref(const struct request *request) {
    reply_text(request, TEXT("{\"ref\":77,\"ok\":{\"status\":200,\"body\":\"b2s=\"}}"));
}

static void split_header(const struct request *request) {
    reply_with(request, TEXT("200"), TEXT("[[\"x-a\",\"b\\r\\nx-injected: 1\"]]"), TEXT("b2s="));
}

static void bad_header_name(const struct request *request) {
    reply_with(request, TEXT("200"), TEXT("[[\"x a\",\"b\"]]"), TEXT("b2s="));
}

static void framing(const struct request *request) {
    reply_with(request, TEXT("200"),
               TEXT("[[\"content-length\",\"999\"],[\"transfer-encoding\",\"chunked\"]]"),
               TEXT("b2s="));
}

static void repeated_header(const struct request *request) {
    reply_with(request, TEXT("200"), TEXT("[[\"set-cookie\",\"a=1\"],[\"set-cookie\",\"b=2\"]]"),
               TEXT("b2s="));
}

static void twice(const struct request *request) {
    plain(request);
    reply_with(request, TEXT("500"), TEXT("[]"), TEXT("bm8="));
}

/* Answers, then goes on for ever: the client must have its answer all the same. */
static void answer_and_spin(const struct request *request) {
    plain(request);
    for (volatile unsigned turns = 0;; turns++) {
    }
}

static void answer_and_crash(const struct request *request) {
    plain(request);
    abort();
}

static void spin(const struct request *request) {
    (void)request;
    for (volatile unsigned turns = 0;; turns++) {
    }
}

static void wait_for_ever(const struct request *request) {
    process_list_u8_t ignored;
    (void)request;
    rusm_runtime_actor_receive(&ignored);
}

/* Another process answers before this one does. */
static void stranger(const struct request *request) {
    process_string_t name = to_string(TEXT("stranger")), error;
    rusm_runtime_actor_pid_t pid;
    process_list_u8_t ignored;
    struct buf target = {0};
    if (!rusm_runtime_actor_spawn(&name, &pid, &error)) {
        abort();
    }
    buf_add_u64(&target, request->from);
    process_list_u8_t bytes = to_bytes(buf_text(&target));
    rusm_runtime_actor_send(pid, &bytes);
    rusm_runtime_actor_receive_timeout(200, &ignored);
    plain(request);
}

/* A megabyte, so that the answer does not fit into a socket's buffer. */
static void large(const struct request *request) {
    enum { LEN = 1 << 20 };
    char *body = mem_alloc(LEN);
    for (size_t i = 0; i < LEN; i++) {
        body[i] = (char)('a' + i % 26);
    }
    struct response response = {200, TEXT("text/plain"), {body, LEN}};
    request_answer(request, &response);
}

/* What arrived, as the handler sees it. */
static void mirror(const struct request *request) {
    struct buf out = {0};
    buf_add(&out, request->method);
    buf_add(&out, TEXT(" "));
    buf_add(&out, request->url);
    buf_add(&out, TEXT(" "));
    buf_add(&out, request->params);
    buf_add(&out, TEXT(" "));
    buf_add_u64(&out, request->body.len);
    struct response response = {200, TEXT("text/plain"), buf_text(&out)};
    request_answer(request, &response);
}

static const struct action {
    struct text name;
    void (*run)(const struct request *request);
} actions[] = {
    {TEXT("plain"), plain},
    {TEXT("silent"), silent},
    {TEXT("refuse"), refuse},
    {TEXT("status_1000"), status_1000},
    {TEXT("status_101"), status_101},
    {TEXT("status_404"), status_404},
    {TEXT("empty_ok"), empty_ok},
    {TEXT("garbage"), garbage},
    {TEXT("bad_base64"), bad_base64},
    {TEXT("no_headers"), no_headers},
    {TEXT("other_ref"), other_ref},
    {TEXT("split_header"), split_header},
    {TEXT("bad_header_name"), bad_header_name},
    {TEXT("framing"), framing},
    {TEXT("repeated_header"), repeated_header},
    {TEXT("twice"), twice},
    {TEXT("answer_and_spin"), answer_and_spin},
    {TEXT("answer_and_crash"), answer_and_crash},
    {TEXT("spin"), spin},
    {TEXT("wait_for_ever"), wait_for_ever},
    {TEXT("stranger"), stranger},
    {TEXT("large"), large},
    {TEXT("mirror"), mirror},
};

void exports_process_run(void) {
    struct request request;
    if (!request_receive(&request)) {
        return;
    }
    struct text name = request_param(&request, TEXT("action"));
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (text_equals(actions[i].name, name)) {
            actions[i].run(&request);
        }
    }
}
