/* SPDX-License-Identifier: MIT */
/* Contexts ride beside messages, whatever way these take, and are freed with the last of them. */
#include "unit/proc/puppet.h"

#include "rusm/fiber.h"

#include "base/mem.h"
#include "proc/proc_impl.h"

#include "unit/proc/fixture.h"

static rusm_context *new_context(const char *text) {
    rusm_context *context;
    assert_int_equal(rusm_context_new(text, strlen(text) + 1, &context), RUSM_OK);
    return context;
}

/* text with a context of its own that says `claims`. */
static rusm_msg *new_claim(const char *text, const char *claims) {
    rusm_msg *msg = new_msg(text);
    rusm_context *context = new_context(claims);
    assert_int_equal(rusm_msg_set_context(&msg, context), RUSM_OK);
    rusm_context_unref(context);
    return msg;
}

static const char *claims_of(const rusm_msg *msg) {
    const rusm_context *context = rusm_msg_context(msg);
    return context ? (const char *)rusm_context_data(context) : "none";
}

/* ---- alone ---- */

static void context_is_beside_the_data(void **state) {
    (void)state;
    char text[64];
    for (size_t len = 0; len < sizeof(text); len++) { /* every alignment of the bytes' end */
        memset(text, 'd', sizeof(text));
        rusm_msg *msg;
        rusm_context *first = new_context("first"), *second = new_context("second");
        assert_int_equal(rusm_msg_copy(text, len, &msg), RUSM_OK);
        assert_null(rusm_msg_context(msg));
        assert_int_equal(rusm_msg_set_context(&msg, NULL), RUSM_OK);
        assert_null(rusm_msg_context(msg));
        assert_int_equal(rusm_msg_set_context(&msg, first), RUSM_OK);
        rusm_context_unref(first);
        assert_string_equal(claims_of(msg), "first");
        assert_int_equal(rusm_msg_set_context(&msg, second), RUSM_OK);
        assert_int_equal(rusm_msg_set_context(&msg, second), RUSM_OK); /* the same again */
        rusm_context_unref(second);
        assert_string_equal(claims_of(msg), "second");
        assert_int_equal(rusm_msg_len(msg), len);
        assert_memory_equal(rusm_msg_data(msg), text, len);
        if (len % 2) {
            assert_int_equal(rusm_msg_set_context(&msg, NULL), RUSM_OK);
            assert_null(rusm_msg_context(msg));
        }
        rusm_msg_free(msg);
    }
}

static void context_has_a_limit(void **state) {
    (void)state;
    static char bytes[RUSM_CONTEXT_MAX_BYTES + 1];
    rusm_context *context;
    assert_int_equal(rusm_context_new(bytes, sizeof(bytes), &context), RUSM_ETOOBIG);
    assert_null(context);
    assert_int_equal(rusm_context_new(bytes, sizeof(bytes) - 1, &context), RUSM_OK);
    assert_int_equal(rusm_context_len(context), sizeof(bytes) - 1);
    rusm_context_unref(context);
    assert_int_equal(rusm_context_new(NULL, 1, &context), RUSM_EINVAL);
    assert_null(context);
    assert_int_equal(rusm_context_new(NULL, 0, &context), RUSM_OK);
    assert_int_equal(rusm_context_len(context), 0);
    rusm_context_unref(context);
    rusm_context_unref(NULL);
    assert_null(rusm_context_ref(NULL));
}

static void context_bears_a_shortage(void **state) {
    (void)state;
    rusm_context *context;
    rusm_msg *msg = new_msg("text"), *same = msg;
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm_context_new("x", 1, &context), RUSM_ENOMEM);
    context = new_context("claims");
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm_msg_set_context(&msg, context), RUSM_ENOMEM);
    rusm__mem_fail_nth(0);
    assert_ptr_equal(msg, same);
    assert_null(rusm_msg_context(msg));
    assert_string_equal((char *)rusm_msg_data(msg), "text");
    rusm_context_unref(context);
    rusm_msg_free(msg);
}

/* ---- on its way ---- */

struct heard {
    char text[16];
    char claims[16];
};

static struct heard heard[16];
static _Atomic unsigned heard_count;

/* Sets "aside..." aside once, until "back" comes. */
static rusm_step hear(rusm_proc *self, void *body) {
    rusm_msg *msg;
    (void)body;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        const char *text = (const char *)rusm_msg_data(msg);
        if (strcmp(text, "aside") == 0) {
            memcpy(rusm_msg_data(msg), "again", 5);
            rusm_proc_stash(self, msg);
            continue;
        }
        if (strcmp(text, "back") == 0) {
            rusm_proc_unstash(self);
        }
        unsigned count = atomic_load(&heard_count);
        snprintf(heard[count].text, sizeof(heard[count].text), "%s",
                 rusm_msg_get_kind(msg) == RUSM_MSG_DATA ? text : "down");
        snprintf(heard[count].claims, sizeof(heard[count].claims), "%s", claims_of(msg));
        rusm_msg_free(msg);
        atomic_store(&heard_count, count + 1);
    }
    return RUSM_STEP_WAIT;
}

static rusm_pid start_listener(rusm_msg *first) {
    static const rusm_body_ops ops = {.name = "listener", .step = hear};
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .first = first};
    rusm_pid pid;
    atomic_store(&heard_count, 0);
    assert_int_equal(rusm_proc_spawn(rt, &options, &pid), RUSM_OK);
    return pid;
}

static void expect(unsigned index, const char *text, const char *claims) {
    WAIT_FOR(atomic_load(&heard_count) > index);
    assert_string_equal(heard[index].text, text);
    assert_string_equal(heard[index].claims, claims);
}

static void context_goes_wherever_the_message_goes(void **state) {
    (void)state;
    rusm_timer timer;
    rusm_pid pid = start_listener(new_claim("first", "a"));
    expect(0, "first", "a");
    assert_int_equal(rusm_msg_send(rt, pid, new_claim("sent", "b")), RUSM_OK);
    expect(1, "sent", "b");
    assert_int_equal(send_text(rt, pid, "bare"), RUSM_OK);
    expect(2, "bare", "none");
    assert_int_equal(
        rusm_timer_send(rt, rusm_now_ns() + 1000000, pid, new_claim("timer", "c"), &timer),
        RUSM_OK);
    expect(3, "timer", "c");
    assert_int_equal(rusm_msg_send(rt, pid, new_claim("aside", "d")), RUSM_OK);
    assert_int_equal(rusm_msg_send(rt, pid, new_claim("back", "e")), RUSM_OK);
    expect(4, "back", "e");
    expect(5, "again", "d");
    /* Never received: freed with the timer, and with the mailbox. */
    assert_int_equal(
        rusm_timer_send(rt, rusm_now_ns() + 3600000000000ull, pid, new_claim("never", "f"), &timer),
        RUSM_OK);
    assert_true(rusm_timer_cancel(rt, timer));
    assert_int_equal(
        rusm_timer_send(rt, rusm_now_ns() + 3600000000000ull, pid, new_claim("never", "f"), &timer),
        RUSM_OK);
}

static void context_is_shared(void **state) {
    (void)state;
    rusm_context *context = new_context("shared");
    rusm_pid pid = start_listener(NULL);
    for (unsigned i = 0; i < 10; i++) {
        rusm_msg *msg = new_msg("one");
        assert_int_equal(rusm_msg_set_context(&msg, context), RUSM_OK);
        assert_int_equal(rusm_msg_send(rt, pid, msg), RUSM_OK);
    }
    rusm_context_unref(context);
    for (unsigned i = 0; i < 10; i++) {
        expect(i, "one", "shared");
    }
}

/* ---- calls and room ---- */

struct caller {
    rusm_pid to;
    char claims[16];
    _Atomic bool done;
};

static void call(rusm_proc *self, void *arg) {
    struct caller *caller = arg;
    rusm_msg *request = new_claim("call", "asked"), *reply;
    if (rusm_call(self, caller->to, &request, RUSM_FOREVER, &reply) == RUSM_OK) {
        snprintf(caller->claims, sizeof(caller->claims), "%s", claims_of(reply));
        rusm_msg_free(reply);
    }
    atomic_store(&caller->done, true);
}

static void answer(rusm_proc *self, void *arg) {
    rusm_msg *msg;
    (void)arg;
    while (rusm_receive(self, RUSM_FOREVER, &msg) == RUSM_OK) {
        rusm_msg *reply = new_msg("reply");
        assert_int_equal(rusm_msg_set_context(&reply, rusm_msg_context(msg)), RUSM_OK);
        assert_int_equal(rusm_reply(rt, msg, reply), RUSM_OK);
        rusm_msg_free(msg);
    }
}

static void context_goes_through_calls(void **state) {
    (void)state;
    struct caller callers[6];
    rusm_fiber_options options = {
        .size = sizeof(options),
        .main = answer,
        .spawn = {.mailbox_messages = 1, .mailbox_policy = RUSM_MAILBOX_BLOCK_SENDER}};
    rusm_pid pid, caller;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
    for (unsigned i = 0; i < 6; i++) { /* some of them wait for room */
        callers[i] = (struct caller){.to = pid};
        rusm_fiber_options start = {.size = sizeof(start), .main = call, .arg = &callers[i]};
        assert_int_equal(rusm_fiber_spawn(rt, &start, &caller), RUSM_OK);
    }
    for (unsigned i = 0; i < 6; i++) {
        WAIT_FOR(atomic_load(&callers[i].done));
        assert_string_equal(callers[i].claims, "asked");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(context_is_beside_the_data),
        cmocka_unit_test(context_has_a_limit),
        cmocka_unit_test(context_bears_a_shortage),
        TEST(context_goes_wherever_the_message_goes),
        TEST(context_is_shared),
        TEST(context_goes_through_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
