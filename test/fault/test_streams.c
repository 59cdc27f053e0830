/* SPDX-License-Identifier: MIT */
/* Streams when memory is short: whichever allocation fails, the call at hand fails alone, what it
 * was given stays the caller's, and the stream goes on. */
#include "unit/proc/puppet.h"

#include "rusm/stream.h"

#include "base/mem.h"

enum { MOST_ALLOCATIONS = 20 };

static rusm_runtime *rt;

static uint32_t ends_of(rusm_proc *self) {
    rusm_stream_usage usage = {.size = sizeof(usage)};
    assert_int_equal(rusm_stream_get_usage(self, &usage), RUSM_OK);
    return usage.ends;
}

/* Everything with one's own stream, so that all allocations are of this thread. Returns which
 * allocation there was not any more. */
static size_t open_after_failures(rusm_proc *self, rusm_stream *out_in) {
    uint32_t ends = ends_of(self);
    for (size_t nth = 1; nth < MOST_ALLOCATIONS; nth++) {
        rusm__mem_fail_nth(nth);
        int status = rusm_stream_open(self, rusm_proc_pid(self), NULL, out_in);
        rusm__mem_fail_nth(0);
        if (status == RUSM_OK) {
            return nth;
        }
        assert_int_equal(status, RUSM_ENOMEM);
        assert_true(*out_in == 0);
        assert_int_equal(ends_of(self), ends);
    }
    return 0;
}

static void fill_places(rusm_proc *self) { /* so that the next end needs memory */
    rusm_stream more, out;
    while (ends_of(self) < 4) {
        assert_int_equal(rusm_stream_open(self, rusm_proc_pid(self), NULL, &more), RUSM_OK);
        if (ends_of(self) < 4) {
            assert_int_equal(rusm_stream_try_accept(self, &out, NULL), RUSM_OK);
        }
    }
}

static rusm_step use_a_stream(rusm_proc *self, void *arg) {
    bool *done = arg;
    rusm_stream in, other, out;
    rusm_chunk *chunk;
    /* The ends, where they are kept, and places for them, which stay; then the pipe and the offer.
     */
    assert_true(open_after_failures(self, &in) >= 4);
    assert_int_equal(open_after_failures(self, &other), 3);
    rusm__mem_fail_nth(1); /* there is a place: accepting needs none */
    assert_int_equal(rusm_stream_try_accept(self, &out, NULL), RUSM_OK);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm_stream_try_write_bytes(self, in, "x", 1), RUSM_ENOMEM);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm_stream_chunk(self, in, 1, &chunk), RUSM_ENOMEM);
    assert_null(chunk);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm_chunk_copy("x", 1, &chunk), RUSM_ENOMEM);
    rusm__mem_fail_nth(0);
    assert_int_equal(rusm_stream_try_write_bytes(self, in, "abc", 3), RUSM_OK);
    rusm__mem_fail_nth(1); /* reading, giving back and ending need none */
    assert_int_equal(rusm_stream_try_read(self, out, &chunk), RUSM_OK);
    assert_memory_equal(rusm_chunk_data(chunk), "abc", 3);
    rusm_stream_recycle(self, out, chunk);
    assert_int_equal(rusm_stream_close(self, in), RUSM_OK);
    assert_int_equal(rusm_stream_try_read(self, out, &chunk), RUSM_ECLOSED);
    rusm__mem_fail_nth(0);
    fill_places(self);
    rusm__mem_fail_nth(1);
    assert_int_equal(rusm_stream_try_accept(self, &in, NULL), RUSM_ENOMEM);
    rusm__mem_fail_nth(0);
    assert_int_equal(rusm_stream_try_accept(self, &in, NULL), RUSM_OK); /* the offer stayed */
    *done = true;
    return RUSM_STEP_EXIT;
}

static rusm_step limit_without_memory(rusm_proc *self, void *arg) {
    (void)arg;
    for (size_t nth = 1; nth <= 2; nth++) {
        rusm__mem_fail_nth(nth);
        assert_int_equal(rusm_stream_set_limit(self, 7), RUSM_ENOMEM);
    }
    rusm__mem_fail_nth(0);
    assert_int_equal(rusm_stream_set_limit(self, 7), RUSM_OK);
    return RUSM_STEP_EXIT;
}

static void calls_on_streams_fail_alone(void **state) {
    struct puppet puppet;
    bool done = false;
    (void)state;
    rt = start_runtime(1);
    puppet_start(&puppet, rt);
    puppet_do(&puppet, use_a_stream, &done);
    puppet_wait_end(&puppet);
    assert_true(done);
    puppet_start(&puppet, rt);
    puppet_do(&puppet, limit_without_memory, NULL);
    puppet_wait_end(&puppet);
    assert_int_equal(rusm_runtime_stop(rt), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_on_streams_fail_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
