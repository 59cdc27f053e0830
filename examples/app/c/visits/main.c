/* SPDX-License-Identifier: MIT */
/* The resident service: counts visits by name, in its own memory. One process for the whole app, so
 * there is nothing to lock; after a crash it starts from zero. */
#include <stdlib.h>
#include <string.h>

#include "guest.h"

struct visitor {
    struct visitor *next;
    uint64_t visits;
    struct text name;
    char bytes[];
};

static struct visitor *visitors;
static uint64_t names;
static uint64_t total;

static struct visitor *find_or_add(struct text name) {
    for (struct visitor *visitor = visitors; visitor != NULL; visitor = visitor->next) {
        if (text_equals(visitor->name, name)) {
            return visitor;
        }
    }
    struct visitor *visitor = malloc(sizeof(*visitor) + name.len);
    if (visitor == NULL) {
        abort();
    }
    *visitor = (struct visitor){visitors, 0, {visitor->bytes, name.len}};
    memcpy(visitor->bytes, name.ptr, name.len);
    visitors = visitor;
    names++;
    return visitor;
}

static void add(const struct call *call) {
    struct text value, name;
    if (!json_element(call->args, 0, &value) || !json_string(value, &name)) {
        call_refuse(call, TEXT("add takes a name"));
        return;
    }
    struct visitor *visitor = find_or_add(name);
    struct buf out = {0};
    buf_add(&out, TEXT("{\"name\":"));
    json_add_string(&out, visitor->name);
    buf_add(&out, TEXT(",\"total\":"));
    buf_add_u64(&out, ++total);
    buf_add(&out, TEXT(",\"visits\":"));
    buf_add_u64(&out, ++visitor->visits);
    buf_add(&out, TEXT("}"));
    call_reply(call, buf_text(&out));
}

static void tally(const struct call *call) {
    struct buf out = {0};
    buf_add(&out, TEXT("{\"names\":"));
    buf_add_u64(&out, names);
    buf_add(&out, TEXT(",\"total\":"));
    buf_add_u64(&out, total);
    buf_add(&out, TEXT("}"));
    call_reply(call, buf_text(&out));
}

static void unknown(const struct call *call) {
    struct buf out = {0};
    buf_add(&out, TEXT("no such function: "));
    buf_add(&out, call->op);
    call_refuse(call, buf_text(&out));
}

void exports_process_run(void) {
    process_string_t name = to_string(TEXT("visits"));
    if (!rusm_runtime_actor_register(&name)) {
        abort();
    }
    for (;;) {
        struct call call;
        call_receive(&call);
        if (text_equals(call.op, TEXT("add"))) {
            add(&call);
        } else if (text_equals(call.op, TEXT("tally"))) {
            tally(&call);
        } else {
            unknown(&call);
        }
    }
}
