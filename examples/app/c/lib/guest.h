/* SPDX-License-Identifier: MIT */
/* What a guest in C needs on top of the generated bindings (process.h): requests and answers, calls
 * between processes, and the rules for waiting. The shapes on the wire are those of every other
 * guest language, so a C handler can call a Rust service and the other way round.
 *
 * Texts that are handed out live in the arena of mem.h. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "json.h"
#include "mem.h"
#include "process.h"

/* ---- HTTP handlers: one request per process ---- */

struct request {
    struct text action; /* the part behind # in the route's target */
    struct text method;
    struct text url; /* path and query */
    struct text body;
    struct text params; /* JSON: [["name","value"],...] */
    uint64_t from;      /* where the answer goes */
    uint64_t reference;
};

struct response {
    unsigned status;
    struct text content_type;
    struct text body;
};

/* Wait for the request. False if the message was something else: return from `run` then. */
bool request_receive(struct request *out_request);
/* What the route's pattern captured; the empty text if it has no such parameter. */
struct text request_param(const struct request *request, struct text name);
void request_answer(const struct request *request, const struct response *response);

/* ---- services: other processes call operations by name ---- */

struct call {
    struct text op;
    struct text args; /* JSON array */
    uint64_t from;
    uint64_t reference;
    bool wants_reply;
};

/* Give back what the last call needed and wait for the next; other mail is skipped. */
void call_receive(struct call *out_call);
/* `json` is the value as JSON. Nothing happens if the caller does not want a reply. */
void call_reply(const struct call *call, struct text json);
void call_refuse(const struct call *call, struct text reason);

/* ---- callers ---- */

struct answer {
    bool ok;
    struct text value; /* ok: JSON; else why not, as plain text */
};

/* Call an operation and wait for the answer, for the end of `timeout_ms`, or for the end of the
 * process if that is to be watched (needs a grant). Other mail stays for later. */
struct answer call_process(uint64_t pid, struct text op, struct text args, uint64_t timeout_ms,
                           bool watch);

/* ---- bytes to and from the bindings ---- */

process_string_t to_string(struct text text);
process_list_u8_t to_bytes(struct text text);

#endif
