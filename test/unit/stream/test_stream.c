/* SPDX-License-Identifier: MIT */
/* Streams as state machines use them: order and bounds, who is woken when,
 * every way in which one side can end while the other one waits or not, offers,
 * handles, limits. */
#include "unit/stream/keeper.h"

#include "base/mem.h"

#include "unit/proc/fixture.h"

/* ---- chunks ---- */

static void chunks_arrive_in_order_with_their_boundaries(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, rt, 0, 0);
    assert_int_equal(write_of(&pair.writer, pair.in, "one", 3), RUSM_OK);
    assert_int_equal(write_of(&pair.writer, pair.in, NULL, 0), RUSM_OK);
    assert_int_equal(write_of(&pair.writer, pair.in, "three", 5), RUSM_OK);
    assert_int_equal(read_of(&pair.reader, pair.out, "one"), RUSM_OK);
    assert_int_equal(read_of(&pair.reader, pair.out, ""), RUSM_OK);
    assert_int_equal(read_of(&pair.reader, pair.out, "three"), RUSM_OK);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_EAGAIN);
    assert_int_equal(close_of(&pair.writer, pair.in), RUSM_OK);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_ECLOSED);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_ECLOSED);
    assert_int_equal(close_of(&pair.reader, pair.out), RUSM_OK);
    end_all(rt);
}

static rusm_step read_into_little(rusm_proc *self, void *arg) {
    struct act *act = arg;
    act->status = rusm_stream_try_read_bytes(self, act->end, act->bytes, 4, &act->len);
    return RUSM_STEP_WAIT;
}

static void a_chunk_longer_than_the_buffer_stays(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, rt, 0, 0);
    assert_int_equal(write_of(&pair.writer, pair.in, "12345", 5), RUSM_OK);
    struct act act = {.end = pair.out};
    puppet_do(&pair.reader.puppet, read_into_little, &act);
    assert_int_equal(act.status, RUSM_ETOOBIG);
    assert_int_equal(act.len, 5);
    assert_int_equal(read_of(&pair.reader, pair.out, "12345"), RUSM_OK);
    end_all(rt);
}

/* ---- bounds and wakes ---- */

static void the_writer_waits_at_the_bound_in_chunks(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, rt, 0, 0);
    for (unsigned i = 0; i < RUSM_STREAM_CHUNKS; i++) {
        assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_OK);
    }
    assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_EAGAIN);
    assert_int_equal(fill_of(&pair.writer, pair.in, 0), RUSM_EAGAIN);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_OK);
    WAIT_FOR(atomic_load(&pair.writer.wakes) == 1);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_OK); /* none is owed for this */
    assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_EAGAIN);
    nap_ms(5);
    assert_int_equal(atomic_load(&pair.writer.wakes), 1);
    end_all(rt);
}

static void bounds_that_are_no_powers_of_two_hold(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, rt, 3, 0);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_OK);
        }
        assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_EAGAIN);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_OK);
        }
    }
    struct pair one;
    pair_start(&one, rt, 1, 1);
    assert_int_equal(fill_of(&one.writer, one.in, 1), RUSM_OK);
    assert_int_equal(fill_of(&one.writer, one.in, 0), RUSM_EAGAIN);
    end_all(rt);
}

static void the_writer_waits_at_the_bound_in_bytes(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, rt, 0, 100);
    assert_int_equal(fill_of(&pair.writer, pair.in, 101), RUSM_ETOOBIG);
    assert_int_equal(fill_of(&pair.writer, pair.in, 10), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, pair.in, 90), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, pair.in, 0), RUSM_OK); /* no bytes, no bound */
    assert_int_equal(fill_of(&pair.writer, pair.in, 50), RUSM_EAGAIN);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_OK); /* 10: not enough */
    nap_ms(5);
    assert_int_equal(atomic_load(&pair.writer.wakes), 0);
    assert_int_equal(fill_of(&pair.writer, pair.in, 50), RUSM_EAGAIN);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_OK);
    WAIT_FOR(atomic_load(&pair.writer.wakes) == 1);
    assert_int_equal(fill_of(&pair.writer, pair.in, 100), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_EAGAIN);
    end_all(rt);
}

static void a_large_chunk_passes_alone_where_it_may(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, rt, 0, 100);
    struct act open = {.pid = pair.reader.puppet.pid, .max_bytes = 100, .large_alone = true};
    puppet_do(&pair.writer.puppet, act_open, &open);
    rusm_pid from;
    rusm_stream out;
    assert_int_equal(open.status, RUSM_OK);
    assert_int_equal(accept_one_of(&pair.reader, &out, &from), RUSM_OK);
    keeper_settle(&pair.reader);
    assert_int_equal(fill_of(&pair.writer, open.end, 1), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, open.end, 101), RUSM_EAGAIN);
    assert_int_equal(read_of(&pair.reader, out, NULL), RUSM_OK);
    WAIT_FOR(atomic_load(&pair.writer.wakes) == 1);
    assert_int_equal(fill_of(&pair.writer, open.end, 250), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, open.end, 0), RUSM_EAGAIN);
    struct act look = {.end = open.end};
    puppet_do(&pair.writer.puppet, act_look, &look);
    assert_int_equal(look.usage.written_bytes, 250);
    assert_int_equal(read_of(&pair.reader, out, NULL), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, open.end, 100), RUSM_OK);
    end_all(rt);
}

static void the_reader_is_woken_once_by_what_comes(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, rt, 0, 0);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_EAGAIN);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_EAGAIN); /* still one wake */
    assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_OK);
    WAIT_FOR(atomic_load(&pair.reader.wakes) == 1);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, pair.in, 1), RUSM_OK); /* does not wait */
    nap_ms(5);
    assert_int_equal(atomic_load(&pair.reader.wakes), 1);
    end_all(rt);
}

/* ---- ends: how one side goes, and what the other one gets ---- */

enum way { CLOSE, ABORT, END, CRASH, KILL, WAYS };

static void leave(struct keeper *keeper, rusm_stream end, enum way way) {
    switch (way) {
    case CLOSE:
        assert_int_equal(close_of(keeper, end), RUSM_OK);
        break;
    case ABORT:
        assert_int_equal(abort_of(keeper, end), RUSM_OK);
        break;
    case END:
    case CRASH:
        puppet_end_with(&keeper->puppet, way == END ? RUSM_EXIT_NORMAL : RUSM_EXIT_CRASHED, NULL);
        break;
    default:
        assert_true(rusm_pid_kill(rt, keeper->puppet.pid));
        puppet_wait_end(&keeper->puppet);
    }
}

static int outcome_of(enum way way) {
    return way == CLOSE || way == END ? RUSM_ECLOSED : RUSM_ECRASHED;
}

static void the_reader_learns_how_the_writer_left(void **state) {
    (void)state;
    for (enum way way = CLOSE; way < WAYS; way++) {
        for (unsigned waiting = 0; waiting < 2; waiting++) {
            struct pair pair;
            pair_start(&pair, rt, 0, 0);
            if (waiting) {
                assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_EAGAIN);
            } else {
                assert_int_equal(write_of(&pair.writer, pair.in, "last", 4), RUSM_OK);
            }
            leave(&pair.writer, pair.in, way);
            if (waiting) {
                WAIT_FOR(atomic_load(&pair.reader.wakes) == 1);
            } else {
                assert_int_equal(read_of(&pair.reader, pair.out, "last"), RUSM_OK);
            }
            assert_int_equal(read_of(&pair.reader, pair.out, NULL), outcome_of(way));
            assert_int_equal(read_of(&pair.reader, pair.out, NULL), outcome_of(way));
            assert_int_equal(close_of(&pair.reader, pair.out), RUSM_OK);
            end_all(rt);
        }
    }
}

static void the_writer_learns_how_the_reader_left(void **state) {
    (void)state;
    for (enum way way = CLOSE; way < WAYS; way++) {
        for (unsigned waiting = 0; waiting < 2; waiting++) {
            struct pair pair;
            pair_start(&pair, rt, 1, 0);
            assert_int_equal(fill_of(&pair.writer, pair.in, 7), RUSM_OK);
            if (waiting) {
                assert_int_equal(fill_of(&pair.writer, pair.in, 7), RUSM_EAGAIN);
            }
            leave(&pair.reader, pair.out, way);
            if (waiting) {
                WAIT_FOR(atomic_load(&pair.writer.wakes) == 1);
            }
            assert_int_equal(fill_of(&pair.writer, pair.in, 7), outcome_of(way));
            assert_int_equal(fill_of(&pair.writer, pair.in, 0), outcome_of(way));
            assert_true(look_of(&pair.writer, pair.in).usage.written_bytes == 0); /* all freed */
            assert_int_equal(close_of(&pair.writer, pair.in), RUSM_OK);
            end_all(rt);
        }
    }
}

static void both_may_leave_in_any_order(void **state) {
    (void)state;
    for (unsigned i = 0; i < WAYS * WAYS * 2; i++) {
        struct pair pair;
        pair_start(&pair, rt, 2, 0);
        assert_int_equal(fill_of(&pair.writer, pair.in, 7), RUSM_OK);
        bool writer_first = i / (WAYS * WAYS);
        leave(writer_first ? &pair.writer : &pair.reader, writer_first ? pair.in : pair.out,
              i % WAYS);
        leave(writer_first ? &pair.reader : &pair.writer, writer_first ? pair.out : pair.in,
              i / WAYS % WAYS);
        end_all(rt);
    }
}

/* A body that is being killed closes what it holds; that is no proper end. */
static rusm_stream to_close;

static rusm_step close_in_unwind(rusm_proc *self, void *body) {
    (void)body;
    assert_int_equal(rusm_stream_close(self, to_close), RUSM_OK);
    assert_int_equal(rusm_stream_close(self, to_close), RUSM_EINVAL);
    return RUSM_STEP_EXIT;
}

static void a_close_on_the_way_out_is_a_crash(void **state) {
    (void)state;
    struct keeper writer, reader;
    rusm_stream out;
    rusm_pid from;
    keeper_start_with(&writer, rt, &(rusm_spawn_options){.ops = &winding_ops});
    writer.winds_down = close_in_unwind;
    keeper_start(&reader, rt);
    assert_int_equal(open_with(&writer, reader.puppet.pid, 0, 0, &to_close), RUSM_OK);
    assert_int_equal(accept_one_of(&reader, &out, &from), RUSM_OK);
    assert_true(rusm_pid_kill(rt, writer.puppet.pid));
    puppet_wait_end(&writer.puppet);
    assert_int_equal(read_of(&reader, out, NULL), RUSM_ECRASHED);
    end_all(rt);
}

static void the_end_is_known_before_the_death_is_told(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, rt, 0, 0);
    puppet_monitor(&pair.reader.puppet, pair.writer.puppet.pid);
    rusm_pid_kill(rt, pair.writer.puppet.pid);
    assert_int_equal(puppet_wait_mail(&pair.reader.puppet, 0).kind, RUSM_MSG_DOWN);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_ECRASHED);
    end_all(rt);
}

/* ---- offers ---- */

static void nobody_to_open_to(void **state) {
    (void)state;
    struct keeper keeper, gone;
    rusm_stream end;
    keeper_start(&keeper, rt);
    keeper_start(&gone, rt);
    puppet_end_with(&gone.puppet, RUSM_EXIT_NORMAL, NULL);
    assert_int_equal(open_with(&keeper, gone.puppet.pid, 0, 0, &end), RUSM_ENOPROC);
    assert_true(end == 0);
    assert_int_equal(open_with(&keeper, 0, 0, 0, &end), RUSM_ENOPROC);
    assert_int_equal(look_of(&keeper, 0).usage.ends, 0);
    end_all(rt);
}

static void what_is_written_before_the_accept_is_kept(void **state) {
    (void)state;
    for (enum way way = CLOSE; way < WAYS; way++) {
        struct keeper writer, reader;
        rusm_stream in, out;
        rusm_pid from;
        keeper_start(&writer, rt);
        keeper_start(&reader, rt);
        assert_int_equal(open_with(&writer, reader.puppet.pid, 0, 0, &in), RUSM_OK);
        assert_int_equal(write_of(&writer, in, "early", 5), RUSM_OK);
        leave(&writer, in, way);
        assert_int_equal(accept_one_of(&reader, &out, &from), RUSM_OK);
        assert_true(from == writer.puppet.pid);
        assert_int_equal(read_of(&reader, out, "early"), RUSM_OK);
        assert_int_equal(read_of(&reader, out, NULL), outcome_of(way));
        end_all(rt);
    }
}

static void an_offer_that_is_not_taken_is_refused(void **state) {
    (void)state;
    struct keeper writer, reader;
    static struct puppet refuser; /* frees the mail, for it knows nothing of streams */
    rusm_stream to_refuser, to_reader;
    keeper_start(&writer, rt);
    keeper_start(&reader, rt);
    puppet_start(&refuser, rt);
    keeper_settle(&writer);
    assert_int_equal(open_with(&writer, refuser.pid, 1, 0, &to_refuser), RUSM_OK);
    struct puppet_mail mail = puppet_wait_mail(&refuser, 0);
    assert_int_equal(mail.kind, RUSM_MSG_STREAM);
    assert_true(mail.from == writer.puppet.pid);
    assert_int_equal(mail.len, 0);
    puppet_settle(&refuser);
    assert_int_equal(fill_of(&writer, to_refuser, 1), RUSM_ECLOSED);
    keeper_settle(&writer);
    assert_int_equal(open_with(&writer, reader.puppet.pid, 1, 0, &to_reader), RUSM_OK);
    assert_int_equal(fill_of(&writer, to_reader, 1), RUSM_OK);
    assert_int_equal(fill_of(&writer, to_reader, 1), RUSM_EAGAIN);
    puppet_end_with(&reader.puppet, RUSM_EXIT_NORMAL, NULL); /* without having accepted */
    WAIT_FOR(atomic_load(&writer.wakes) == 1);
    assert_int_equal(fill_of(&writer, to_reader, 1), RUSM_ECLOSED);
    end_all(rt);
}

static void waiting_for_one_kind_loses_no_other(void **state) {
    (void)state;
    struct keeper writer, reader;
    rusm_stream in[2], out;
    rusm_pid from;
    keeper_start(&writer, rt);
    keeper_start(&reader, rt);
    assert_int_equal(send_text(rt, reader.puppet.pid, "first"), RUSM_OK);
    assert_int_equal(open_with(&writer, reader.puppet.pid, 0, 0, &in[0]), RUSM_OK);
    assert_int_equal(send_text(rt, reader.puppet.pid, "second"), RUSM_OK);
    assert_int_equal(open_with(&writer, reader.puppet.pid, 0, 0, &in[1]), RUSM_OK);
    assert_int_equal(write_of(&writer, in[0], "a", 1), RUSM_OK);
    assert_int_equal(write_of(&writer, in[1], "b", 1), RUSM_OK);
    assert_int_equal(accept_one_of(&reader, &out, &from), RUSM_OK);
    assert_int_equal(read_of(&reader, out, "a"), RUSM_OK);
    assert_string_equal(puppet_wait_mail(&reader.puppet, 0).text, "first");
    assert_string_equal(puppet_wait_mail(&reader.puppet, 1).text, "second");
    assert_int_equal(accept_one_of(&reader, &out, &from), RUSM_OK);
    assert_int_equal(read_of(&reader, out, "b"), RUSM_OK);
    assert_int_equal(accept_one_of(&reader, &out, &from), RUSM_EAGAIN);
    assert_true(out == 0 && from == 0);
    end_all(rt);
}

static rusm_step take_what_comes(rusm_proc *self, void *arg) {
    struct act *act = arg;
    rusm_proc_unstash(self);
    rusm_msg *msg = rusm_proc_receive(self);
    act->status = rusm_stream_take(self, msg, &act->end);
    if (act->status != RUSM_OK) {
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

static void mail_is_taken_for_a_stream_only_if_it_is_one(void **state) {
    (void)state;
    struct keeper writer, reader;
    rusm_stream in;
    keeper_start(&writer, rt);
    keeper_start(&reader, rt);
    assert_int_equal(open_with(&writer, reader.puppet.pid, 0, 0, &in), RUSM_OK);
    assert_int_equal(write_of(&writer, in, "x", 1), RUSM_OK);
    keeper_settle(&reader); /* the offer is set aside */
    struct act act = {.status = 1};
    puppet_do(&reader.puppet, take_what_comes, &act);
    assert_int_equal(act.status, RUSM_OK);
    assert_int_equal(read_of(&reader, act.end, "x"), RUSM_OK);
    end_all(rt);
}

static rusm_step take_data(rusm_proc *self, void *arg) {
    struct act *act = arg;
    rusm_msg *msg = new_msg("no stream");
    act->end = 1;
    act->status = rusm_stream_take(self, msg, &act->end);
    assert_int_equal(rusm_msg_len(msg), 10); /* still the caller's */
    rusm_msg_free(msg);
    return RUSM_STEP_WAIT;
}

static void other_mail_is_no_stream(void **state) {
    (void)state;
    struct keeper keeper;
    struct act act = {.status = 1};
    keeper_start(&keeper, rt);
    puppet_do(&keeper.puppet, take_data, &act);
    assert_int_equal(act.status, RUSM_EINVAL);
    assert_true(act.end == 0);
    end_all(rt);
}

/* Until it is accepted a stream counts as a message of its byte bound. */
static void a_full_mailbox_refuses_a_stream(void **state) {
    (void)state;
    struct keeper writer, reader;
    rusm_stream in[2], out;
    rusm_pid from;
    keeper_start(&writer, rt);
    keeper_start_with(&reader, rt, &(rusm_spawn_options){.mailbox_bytes = 3000});
    assert_int_equal(open_with(&writer, reader.puppet.pid, 0, 3001, &in[0]), RUSM_ETOOBIG);
    puppet_settle(&reader.puppet);
    struct act look = look_of(&writer, 0);
    assert_int_equal(look.usage.ends, 0);
    struct act act = {.pid = reader.puppet.pid, .max_bytes = 2000};
    puppet_do(&writer.puppet, act_open, &act);
    assert_int_equal(act.status, RUSM_OK);
    assert_int_equal(accept_one_of(&reader, &out, &from), RUSM_OK);
    assert_int_equal(open_with(&writer, reader.puppet.pid, 0, 2000, &in[1]), RUSM_OK);
    end_all(rt);
}

/* ---- handles and limits ---- */

static void assert_no_end(struct keeper *keeper, rusm_stream end) {
    assert_int_equal(fill_of(keeper, end, 1), RUSM_EINVAL);
    assert_int_equal(read_of(keeper, end, NULL), RUSM_EINVAL);
    assert_int_equal(close_of(keeper, end), RUSM_EINVAL);
    assert_int_equal(abort_of(keeper, end), RUSM_EINVAL);
    assert_int_equal(look_of(keeper, end).status, RUSM_EINVAL);
}

static void handles_are_the_owners_and_of_one_kind(void **state) {
    (void)state;
    struct pair pair;
    struct keeper stranger;
    pair_start(&pair, rt, 0, 0);
    keeper_start(&stranger, rt);
    assert_no_end(&stranger, pair.in); /* has no ends at all */
    assert_no_end(&pair.writer, 0);
    assert_no_end(&pair.writer, UINT64_MAX);
    assert_no_end(&pair.writer, pair.in + 1);
    assert_no_end(&pair.writer, pair.in + ((uint64_t)1 << 32));
    assert_int_equal(read_of(&pair.writer, pair.in, NULL), RUSM_EINVAL);
    assert_int_equal(fill_of(&pair.reader, pair.out, 1), RUSM_EINVAL);
    assert_int_equal(close_of(&pair.writer, pair.in), RUSM_OK);
    assert_no_end(&pair.writer, pair.in);
    rusm_stream again;
    assert_int_equal(open_with(&pair.writer, pair.reader.puppet.pid, 0, 0, &again), RUSM_OK);
    assert_no_end(&pair.writer, pair.in); /* though its place is in use again */
    assert_int_equal(fill_of(&pair.writer, again, 1), RUSM_OK);
    end_all(rt);
}

static rusm_step set_limit(rusm_proc *self, void *arg) {
    struct act *act = arg;
    act->status = rusm_stream_set_limit(self, act->max_chunks);
    return RUSM_STEP_WAIT;
}

static int limit_of(struct keeper *keeper, uint32_t limit) {
    struct act act = {.max_chunks = limit};
    puppet_do(&keeper->puppet, set_limit, &act);
    return act.status;
}

static void ends_are_limited_and_an_offer_waits(void **state) {
    (void)state;
    struct keeper a, b;
    rusm_stream end[3], out;
    rusm_pid from;
    keeper_start(&a, rt);
    keeper_start(&b, rt);
    assert_int_equal(limit_of(&a, 0), RUSM_EINVAL);
    assert_int_equal(limit_of(&a, RUSM_STREAM_MAX_ENDS + 1), RUSM_EINVAL);
    assert_int_equal(limit_of(&a, 2), RUSM_OK);
    assert_int_equal(limit_of(&b, 1), RUSM_OK);
    assert_int_equal(open_with(&a, b.puppet.pid, 0, 0, &end[0]), RUSM_OK);
    assert_int_equal(open_with(&a, b.puppet.pid, 0, 0, &end[1]), RUSM_OK);
    assert_int_equal(open_with(&a, b.puppet.pid, 0, 0, &end[2]), RUSM_ELIMIT);
    assert_int_equal(write_of(&a, end[1], "kept", 4), RUSM_OK);
    assert_int_equal(accept_one_of(&b, &out, &from), RUSM_OK);
    assert_int_equal(accept_one_of(&b, &out, &from), RUSM_ELIMIT);
    assert_int_equal(limit_of(&b, 2), RUSM_OK);
    assert_int_equal(accept_one_of(&b, &out, &from), RUSM_OK);
    assert_int_equal(read_of(&b, out, "kept"), RUSM_OK);
    assert_int_equal(close_of(&a, end[0]), RUSM_OK);
    assert_int_equal(open_with(&a, b.puppet.pid, 0, 0, &end[2]), RUSM_OK);
    end_all(rt);
}

static rusm_step open_wrongly(rusm_proc *self, void *arg) {
    rusm_stream_options wrong[] = {
        {.size = 1},
        {.size = sizeof(wrong[0]), .max_chunks = RUSM_STREAM_MAX_CHUNKS + 1},
        {.size = sizeof(wrong[0]), .max_bytes = RUSM_STREAM_MAX_BYTES + 1u},
    };
    (void)arg;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        rusm_stream end = 1;
        assert_int_equal(rusm_stream_open(self, rusm_proc_pid(self), &wrong[i], &end), RUSM_EINVAL);
        assert_true(end == 0);
    }
    rusm_stream_info info = {.size = 1};
    rusm_stream_usage usage = {.size = 1};
    rusm_stream end;
    assert_int_equal(rusm_stream_open(self, rusm_proc_pid(self), NULL, &end), RUSM_OK);
    assert_int_equal(rusm_stream_get_info(self, end, &info), RUSM_EINVAL);
    assert_int_equal(rusm_stream_get_usage(self, &usage), RUSM_EINVAL);
    return RUSM_STEP_EXIT;
}

static void options_are_checked(void **state) {
    (void)state;
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    puppet_do(&puppet, open_wrongly, NULL);
    puppet_wait_end(&puppet);
    end_all(rt);
}

static void what_is_in_flight_can_be_read(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, rt, 5, 100);
    assert_int_equal(fill_of(&pair.writer, pair.in, 30), RUSM_OK);
    assert_int_equal(fill_of(&pair.writer, pair.in, 40), RUSM_OK);
    struct act in = look_of(&pair.writer, pair.in), out = look_of(&pair.reader, pair.out);
    assert_true(in.info.is_writer && !out.info.is_writer);
    assert_true(in.info.peer == pair.reader.puppet.pid && out.info.peer == pair.writer.puppet.pid);
    assert_int_equal(in.info.chunks, 2);
    assert_true(in.info.bytes == 70 && out.info.bytes == 70);
    assert_true(in.info.max_chunks == 5 && in.info.max_bytes == 100);
    assert_true(in.usage.ends == 1 && in.usage.written_bytes == 70 && in.usage.unread_bytes == 0);
    assert_true(out.usage.written_bytes == 0 && out.usage.unread_bytes == 70);
    assert_int_equal(read_of(&pair.reader, pair.out, NULL), RUSM_OK);
    assert_true(look_of(&pair.writer, pair.in).info.bytes == 40);
    end_all(rt);
}

/* ---- buffers ---- */

enum { ROUNDS = 1000, CHUNK_BYTES = 4096 };

/* To oneself, so that one thread makes all calls to the allocator. */
static rusm_step pass_to_oneself(rusm_proc *self, void *arg) {
    size_t *calls = arg;
    rusm_stream in, out;
    assert_int_equal(rusm_stream_open(self, rusm_proc_pid(self), NULL, &in), RUSM_OK);
    assert_int_equal(rusm_stream_try_accept(self, &out, NULL), RUSM_OK);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i == ROUNDS / 2) {
            rusm__mem_fail_nth(0);
        }
        rusm_chunk *chunk;
        size_t len = CHUNK_BYTES - i % 20;
        assert_int_equal(rusm_stream_chunk(self, in, len, &chunk), RUSM_OK);
        assert_int_equal(rusm_chunk_len(chunk), len);
        memset(rusm_chunk_data(chunk), (int)i, len);
        assert_int_equal(rusm_stream_try_write(self, in, chunk), RUSM_OK);
        assert_int_equal(rusm_stream_try_read(self, out, &chunk), RUSM_OK);
        assert_int_equal(rusm_chunk_data(chunk)[len - 1], (unsigned char)i);
        rusm_stream_recycle(self, out, chunk);
    }
    *calls = rusm__mem_fail_nth(0);
    return RUSM_STEP_EXIT;
}

static void a_steady_stream_allocates_nothing(void **state) {
    (void)state;
    static struct puppet puppet;
    size_t calls = 1;
    puppet_start(&puppet, rt);
    puppet_do(&puppet, pass_to_oneself, &calls);
    puppet_wait_end(&puppet);
    assert_int_equal(calls, 0);
    end_all(rt);
}

static rusm_step handle_chunks(rusm_proc *self, void *arg) {
    rusm_stream in, out;
    rusm_chunk *chunk, *other;
    (void)arg;
    assert_int_equal(rusm_stream_open(self, rusm_proc_pid(self), NULL, &in), RUSM_OK);
    assert_int_equal(rusm_stream_try_accept(self, &out, NULL), RUSM_OK);
    assert_int_equal(rusm_chunk_copy("owned", 5, &chunk), RUSM_OK);
    rusm_chunk_truncate(chunk, 9);
    assert_int_equal(rusm_chunk_len(chunk), 5);
    rusm_chunk_truncate(chunk, 3);
    assert_int_equal(rusm_stream_try_write(self, in, chunk), RUSM_OK);
    assert_int_equal(rusm_stream_try_read(self, out, &other), RUSM_OK);
    assert_ptr_equal(other, chunk); /* handed over, not copied */
    assert_int_equal(rusm_chunk_len(other), 3);
    assert_memory_equal(rusm_chunk_data(other), "own", 3);
    assert_int_equal(rusm_stream_try_write(self, out, other), RUSM_EINVAL); /* still ours */
    rusm_stream_recycle(self, in, other); /* freed: not the reader */
    rusm_stream_recycle(self, out, NULL);
    assert_int_equal(rusm_stream_chunk(self, out, 1, &chunk), RUSM_EINVAL);
    assert_null(chunk);
    assert_int_equal(rusm_stream_chunk(self, in, RUSM_MSG_MAX_BYTES + 1, &chunk), RUSM_ETOOBIG);
    assert_int_equal(rusm_chunk_new(RUSM_MSG_MAX_BYTES + 1, &chunk), RUSM_ETOOBIG);
    rusm_chunk_free(NULL);
    return RUSM_STEP_EXIT;
}

static void chunks_are_handed_over(void **state) {
    (void)state;
    static struct puppet puppet;
    puppet_start(&puppet, rt);
    puppet_do(&puppet, handle_chunks, NULL);
    puppet_wait_end(&puppet);
    end_all(rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)
        TEST(chunks_arrive_in_order_with_their_boundaries),
        TEST(a_chunk_longer_than_the_buffer_stays),
        TEST(the_writer_waits_at_the_bound_in_chunks),
        TEST(bounds_that_are_no_powers_of_two_hold),
        TEST(the_writer_waits_at_the_bound_in_bytes),
        TEST(a_large_chunk_passes_alone_where_it_may),
        TEST(the_reader_is_woken_once_by_what_comes),
        TEST(the_reader_learns_how_the_writer_left),
        TEST(the_writer_learns_how_the_reader_left),
        TEST(both_may_leave_in_any_order),
        TEST(a_close_on_the_way_out_is_a_crash),
        TEST(the_end_is_known_before_the_death_is_told),
        TEST(nobody_to_open_to),
        TEST(what_is_written_before_the_accept_is_kept),
        TEST(an_offer_that_is_not_taken_is_refused),
        TEST(waiting_for_one_kind_loses_no_other),
        TEST(mail_is_taken_for_a_stream_only_if_it_is_one),
        TEST(other_mail_is_no_stream),
        TEST(a_full_mailbox_refuses_a_stream),
        TEST(handles_are_the_owners_and_of_one_kind),
        TEST(ends_are_limited_and_an_offer_waits),
        TEST(options_are_checked),
        TEST(what_is_in_flight_can_be_read),
        TEST(a_steady_stream_allocates_nothing),
        TEST(chunks_are_handed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
