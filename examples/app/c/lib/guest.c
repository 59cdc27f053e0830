/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include <string.h>

process_string_t to_string(struct text text) {
    return (process_string_t){(uint8_t *)text.ptr, text.len};
}

process_list_u8_t to_bytes(struct text text) {
    return (process_list_u8_t){(uint8_t *)text.ptr, text.len};
}

/* The bindings' memory is freed at once, so that only the arena has to be reset. */
static struct text keep(process_list_u8_t *message) {
    char *copy = mem_alloc(message->len);
    size_t len = message->len;
    if (len > 0) {
        memcpy(copy, message->ptr, len);
    }
    process_list_u8_free(message);
    return (struct text){copy, len};
}

static struct text receive(void) {
    process_list_u8_t message;
    rusm_runtime_actor_receive(&message);
    return keep(&message);
}

static void send(uint64_t pid, const struct buf *message) {
    process_list_u8_t bytes = to_bytes(buf_text(message));
    rusm_runtime_actor_send(pid, &bytes);
}

/* Pids are decimal strings in JSON. */
static bool member_pid(struct text object, struct text key, uint64_t *out_pid) {
    struct text value, digits;
    return json_member(object, key, &value) && json_string(value, &digits) &&
           text_u64(digits, out_pid);
}

static bool member_u64(struct text object, struct text key, uint64_t *out_number) {
    struct text value;
    return json_member(object, key, &value) && json_u64(value, out_number);
}

static bool member_string(struct text object, struct text key, struct text *out_text) {
    struct text value;
    return json_member(object, key, &value) && json_string(value, out_text);
}

/* ---- HTTP handlers ---- */

bool request_receive(struct request *out_request) {
    struct text message, request, body;
    struct request *out = out_request;
    return json_parse(receive(), &message) &&
           member_string(message, TEXT("action"), &out->action) &&
           member_pid(message, TEXT("from"), &out->from) &&
           member_u64(message, TEXT("ref"), &out->reference) &&
           json_member(message, TEXT("params"), &out->params) &&
           json_member(message, TEXT("request"), &request) &&
           member_string(request, TEXT("method"), &out->method) &&
           member_string(request, TEXT("url"), &out->url) &&
           member_string(request, TEXT("body"), &body) && base64_decode(body, &out->body);
}

struct text request_param(const struct request *request, struct text name) {
    struct text pair, key, value;
    for (size_t i = 0; json_element(request->params, i, &pair); i++) {
        if (json_element(pair, 0, &value) && json_string(value, &key) && text_equals(key, name) &&
            json_element(pair, 1, &value) && json_string(value, &key)) {
            return key;
        }
    }
    return TEXT("");
}

void request_answer(const struct request *request, const struct response *response) {
    struct buf out = {0};
    buf_add(&out, TEXT("{\"ref\":"));
    buf_add_u64(&out, request->reference);
    buf_add(&out, TEXT(",\"ok\":{\"status\":"));
    buf_add_u64(&out, response->status);
    buf_add(&out, TEXT(",\"headers\":[[\"content-type\","));
    json_add_string(&out, response->content_type);
    buf_add(&out, TEXT("]],\"body\":\""));
    base64_add(&out, response->body);
    buf_add(&out, TEXT("\"}}"));
    send(request->from, &out);
}

/* ---- services ---- */

static bool parse_call(struct text message, struct call *out_call) {
    struct text object;
    *out_call = (struct call){.args = TEXT("[]")};
    if (!json_parse(message, &object) || !member_string(object, TEXT("op"), &out_call->op)) {
        return false;
    }
    json_member(object, TEXT("args"), &out_call->args);
    out_call->wants_reply = member_pid(object, TEXT("from"), &out_call->from) &&
                            member_u64(object, TEXT("ref"), &out_call->reference);
    return true;
}

void call_receive(struct call *out_call) {
    do {
        mem_reset();
    } while (!parse_call(receive(), out_call));
}

static void reply(const struct call *call, struct text key, struct text json) {
    if (!call->wants_reply) {
        return;
    }
    struct buf out = {0};
    buf_add(&out, TEXT("{\"ref\":"));
    buf_add_u64(&out, call->reference);
    buf_add(&out, key);
    buf_add(&out, json);
    buf_add(&out, TEXT("}"));
    send(call->from, &out);
}

void call_reply(const struct call *call, struct text json) {
    reply(call, TEXT(",\"ok\":"), json);
}

void call_refuse(const struct call *call, struct text reason) {
    struct buf json = {0};
    json_add_string(&json, reason);
    reply(call, TEXT(",\"err\":"), buf_text(&json));
}

/* ---- callers ---- */

static uint64_t next_reference(void) {
    static uint64_t last;
    return ++last;
}

static void send_call(uint64_t pid, uint64_t reference, struct text op, struct text args) {
    struct buf out = {0};
    buf_add(&out, TEXT("{\"op\":"));
    json_add_string(&out, op);
    buf_add(&out, TEXT(",\"args\":"));
    buf_add(&out, args);
    buf_add(&out, TEXT(",\"from\":\""));
    buf_add_u64(&out, rusm_runtime_actor_own_pid());
    buf_add(&out, TEXT("\",\"ref\":"));
    buf_add_u64(&out, reference);
    buf_add(&out, TEXT("}"));
    send(pid, &out);
}

/* A timer message of our own instead of a clock: so the component needs nothing of WASI. */
static uint64_t arm_timeout(uint64_t reference, uint64_t timeout_ms) {
    struct buf out = {0};
    buf_add(&out, TEXT("{\"timeout\":"));
    buf_add_u64(&out, reference);
    buf_add(&out, TEXT("}"));
    process_list_u8_t bytes = to_bytes(buf_text(&out));
    return rusm_runtime_actor_send_after(rusm_runtime_actor_own_pid(), timeout_ms, &bytes);
}

/* A reply has our reference and a result; a reference alone may belong to a request of somebody
 * else, who counts for himself. */
static bool is_answer(struct text message, uint64_t reference, struct answer *out_answer) {
    uint64_t theirs;
    struct text value;
    if (!member_u64(message, TEXT("ref"), &theirs) || theirs != reference) {
        return false;
    }
    if (member_string(message, TEXT("err"), &value)) {
        *out_answer = (struct answer){false, value};
        return true;
    }
    *out_answer = (struct answer){.ok = true};
    return json_member(message, TEXT("ok"), &out_answer->value);
}

static bool is_end(struct text message, uint64_t reference, uint64_t pid,
                   struct answer *out_answer) {
    uint64_t number;
    if (member_u64(message, TEXT("timeout"), &number) && number == reference) {
        *out_answer = (struct answer){false, TEXT("timeout")};
        return true;
    }
    if (member_pid(message, TEXT("__down"), &number) && number == pid) {
        *out_answer = (struct answer){false, TEXT("the process ended without an answer")};
        return true;
    }
    return false;
}

static struct answer await_answer(uint64_t pid, uint64_t reference) {
    struct answer answer;
    for (;;) {
        struct text message = receive(), object;
        if (json_parse(message, &object) &&
            (is_answer(object, reference, &answer) || is_end(object, reference, pid, &answer))) {
            break;
        }
        process_list_u8_t bytes = to_bytes(message);
        rusm_runtime_actor_stash(&bytes);
    }
    rusm_runtime_actor_unstash();
    return answer;
}

struct answer call_process(uint64_t pid, struct text op, struct text args, uint64_t timeout_ms,
                           bool watch) {
    uint64_t reference = next_reference();
    if (watch) {
        rusm_runtime_actor_monitor(pid);
    }
    send_call(pid, reference, op, args);
    uint64_t timer = arm_timeout(reference, timeout_ms);
    struct answer answer = await_answer(pid, reference);
    rusm_runtime_actor_cancel_timer(timer);
    return answer;
}
