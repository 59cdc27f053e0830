/* SPDX-License-Identifier: MIT */
/* What clients and handlers send. The first byte chooses:
 *
 *   even  a client: the rest is fed to the request reader, once in one piece and once cut at places
 *         that the second byte draws; both must agree. A request that is complete becomes an
 *         envelope, which must be JSON.
 *   odd   a handler: the rest is read as its reply (bit 1: to a HEAD) and answered. What goes out
 *         must be one response, of exactly its length, for a reader that is not ours. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <llhttp.h>

#include "rusm/error.h"

#include "base/assert.h"
#include "base/json.h"
#include "serve/answer.h"
#include "serve/envelope.h"
#include "serve/http.h"

static const struct rusm__serve_limits limits = {
    .max_target_bytes = 256,
    .max_head_bytes = 1024,
    .max_headers = 8,
    .max_body_bytes = 512,
};

/* ---- clients ---- */

static const struct rusm__serve_match match = {
    .action = "fuzz",
    .action_len = 4,
    .param_count = 1,
    .params = {{"*", 1, "a//b/", 5, true}},
};

struct outcome {
    enum rusm__http_state state;
    uint16_t status;
    bool keep_alive;
    struct rusm__buf envelope;
};

static void check_json(const struct rusm__buf *text) {
    struct rusm__json json;
    rusm__json_init(&json, text->data, text->len);
    RUSM_CHECK(rusm__json_skip(&json) && rusm__json_end(&json));
}

static void finish(struct rusm__http *http, struct outcome *outcome) {
    struct rusm__buf scratch;
    const char *path;
    size_t path_len;
    rusm_msg *msg;
    outcome->keep_alive = http->keep_alive;
    if (!rusm__http_path(http, &path, &path_len))
        return;
    rusm__buf_init(&scratch);
    RUSM_CHECK(rusm__envelope_build(http, &match, path, path_len, 1, &scratch, &msg) == RUSM_OK);
    rusm__buf_add(&outcome->envelope, rusm_msg_data(msg), rusm_msg_len(msg));
    check_json(&outcome->envelope);
    rusm_msg_free(msg);
    rusm__buf_fini(&scratch);
}

/* In pieces of 1 to `most` bytes. Each is a block of its own, freed once the reader may not look at
 * it any more. */
static void read_request(const uint8_t *data, size_t len, uint32_t seed, size_t most,
                         struct outcome *outcome) {
    struct rusm__http *http = rusm__http_new(&limits);
    unsigned char *piece = NULL;
    size_t at = 0;
    *outcome = (struct outcome){.state = RUSM__HTTP_MORE};
    while (at < len && outcome->state == RUSM__HTTP_MORE) {
        seed = seed * 1664525u + 1013904223u;
        size_t size = most >= len ? len : 1 + (seed >> 16) % most;
        size = size < len - at ? size : len - at;
        free(piece);
        piece = malloc(size);
        memcpy(piece, data + at, size);
        at += size;
        size_t done = 0, used = 0;
        do {
            outcome->state = rusm__http_feed(http, piece + done, size - done, &used);
            RUSM_CHECK(outcome->state == RUSM__HTTP_BAD || used <= size - done);
            done += used;
        } while (outcome->state == RUSM__HTTP_HEAD);
    }
    outcome->status = http->status;
    if (outcome->state == RUSM__HTTP_DONE)
        finish(http, outcome);
    rusm__http_free(http);
    free(piece);
}

/* In pieces, some errors are found earlier and named by what was seen so far; but what is good is
 * good, and what is bad is bad. */
static void fuzz_client(const uint8_t *data, size_t len, uint8_t seed) {
    struct outcome whole, parts;
    read_request(data, len, 0, len, &whole);
    read_request(data, len, seed, 64, &parts);
    RUSM_CHECK(whole.state == parts.state);
    if (whole.state == RUSM__HTTP_BAD)
        RUSM_CHECK(whole.status >= 400 && parts.status >= 400);
    if (whole.state == RUSM__HTTP_DONE) {
        RUSM_CHECK(whole.keep_alive == parts.keep_alive);
        RUSM_CHECK(whole.envelope.len == parts.envelope.len);
        RUSM_CHECK(whole.envelope.len == 0 ||
                   memcmp(whole.envelope.data, parts.envelope.data, whole.envelope.len) == 0);
    }
    rusm__buf_fini(&whole.envelope);
    rusm__buf_fini(&parts.envelope);
}

/* ---- handlers ---- */

struct response {
    bool head;
    bool complete;
    size_t body;
};

/* What only the one who asked can know, llhttp leaves to us. */
static int has_no_body(llhttp_t *parser) {
    struct response *response = parser->data;
    return response->head || parser->status_code == 304 ? 1 : 0;
}

static int count_body(llhttp_t *parser, const char *at, size_t len) {
    struct response *response = parser->data;
    (void)at;
    response->body += len;
    return 0;
}

static int note_end(llhttp_t *parser) {
    struct response *response = parser->data;
    response->complete = true;
    return HPE_PAUSED;
}

/* One response, to the last byte. */
static void check_response(const struct rusm__buf *out, bool head, size_t body) {
    struct response response = {.head = head};
    llhttp_settings_t settings;
    llhttp_t parser;
    llhttp_settings_init(&settings);
    settings.on_headers_complete = has_no_body;
    settings.on_body = count_body;
    settings.on_message_complete = note_end;
    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    parser.data = &response;
    llhttp_errno_t error = llhttp_execute(&parser, (const char *)out->data, out->len);
    RUSM_CHECK(error == HPE_PAUSED && response.complete);
    RUSM_CHECK(llhttp_get_error_pos(&parser) == (const char *)out->data + out->len);
    RUSM_CHECK(response.body == body);
}

static void answer(const struct rusm__reply *reply, bool head) {
    static const struct rusm__serve_header items[] = {{"server", "s"}, {"x-a", "1"}};
    struct rusm__answer_headers headers;
    struct rusm__answer_date date = {0};
    struct rusm__buf out;
    RUSM_CHECK(rusm__answer_headers_init(&headers, items, 2) == RUSM_OK);
    rusm__buf_init(&out);
    struct rusm__answer answer = {
        .status = (unsigned)reply->status,
        .reply = reply,
        .body = reply->body,
        .body_len = reply->body_len,
        .head = head,
        .keep_alive = true,
    };
    rusm__answer_write(&answer, &headers, &date, &out);
    rusm__buf_add(&out, answer.body, answer.body_len);
    check_response(&out, head, answer.body_len);
    rusm__buf_fini(&out);
    rusm__answer_headers_fini(&headers);
}

static void fuzz_handler(const uint8_t *data, size_t len, bool head) {
    static struct rusm__reply reply;
    unsigned char *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    rusm__reply_read(&reply, copy, len, head);
    if (reply.kind == RUSM__REPLY_OK)
        answer(&reply, head);
    if (reply.kind == RUSM__REPLY_ERR || reply.kind == RUSM__REPLY_BROKEN)
        RUSM_CHECK(reply.text);
    rusm__reply_fini(&reply);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 2)
        return 0;
    if (data[0] & 1)
        fuzz_handler(data + 1, len - 1, data[0] & 2);
    else
        fuzz_client(data + 2, len - 2, data[1]);
    return 0;
}
