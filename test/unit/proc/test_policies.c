/* SPDX-License-Identifier: MIT */
/* What happens at the limit of a mailbox: refuse, drop the oldest, let the sender wait, end. */
#include "unit/proc/puppet.h"

#include "rusm/fiber.h"

#include "proc/proc_impl.h"
#include "quiet.h"

#include "unit/proc/fixture.h"

/* ---- a receiver that takes nothing until its gate opens, and then so many ----
 *
 * It lives until the runtime is stopped, after the test: a gate is static. */

struct gate {
    _Atomic unsigned may_take;
    _Atomic unsigned taken;
    _Atomic bool quits;       /* ends instead */
    _Atomic rusm_pid watches; /* to be monitored first */
    rusm_pid pid;
    char texts[64][8];
};

static rusm_step gate_step(rusm_proc *self, void *body) {
    struct gate *gate = body;
    if (atomic_load(&gate->quits)) {
        return RUSM_STEP_EXIT;
    }
    rusm_pid target = atomic_exchange(&gate->watches, 0);
    uint64_t ref;
    if (target) {
        assert_int_equal(rusm_proc_monitor(self, target, &ref), RUSM_OK);
    }
    while (atomic_load(&gate->taken) < atomic_load(&gate->may_take)) {
        rusm_msg *msg = rusm_proc_receive(self);
        if (!msg) {
            break;
        }
        unsigned count = atomic_load(&gate->taken);
        snprintf(gate->texts[count], sizeof(gate->texts[0]), "%s",
                 rusm_msg_get_kind(msg) == RUSM_MSG_DATA ? (char *)rusm_msg_data(msg) : "down");
        atomic_store(&gate->taken, count + 1);
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

static const rusm_body_ops gate_ops = {.name = "gate", .step = gate_step};

static void start_gate(struct gate *gate, rusm_mailbox_policy policy, uint32_t messages) {
    memset(gate, 0, sizeof(*gate));
    rusm_spawn_options options = {.size = sizeof(options),
                                  .ops = &gate_ops,
                                  .body = gate,
                                  .mailbox_messages = messages,
                                  .mailbox_bytes = 1000,
                                  .mailbox_policy = policy};
    assert_int_equal(rusm_proc_spawn(rt, &options, &gate->pid), RUSM_OK);
}

/* Its step that the last message woke must not take what was there before that one. */
static void let_through(struct gate *gate, unsigned more) {
    WAIT_FOR(quiet_since_last_call());
    atomic_fetch_add(&gate->may_take, more);
    assert_true(rusm__proc_wake(rt, gate->pid));
}

static void expect(struct gate *gate, unsigned count) {
    WAIT_FOR(atomic_load(&gate->taken) == count);
}

static int send_number(rusm_pid to, unsigned number) {
    char text[16];
    snprintf(text, sizeof(text), "%u", number);
    return send_text(rt, to, text);
}

static rusm_proc_info info_of(rusm_pid pid) {
    rusm_proc_info *info;
    assert_int_equal(rusm_pid_info(rt, pid, &info), RUSM_OK);
    rusm_proc_info copy = *info;
    rusm_proc_info_free(info);
    return copy;
}

/* ---- refuse ---- */

static void refuse_counts_what_it_refuses(void **state) {
    (void)state;
    static struct gate gate;
    start_gate(&gate, RUSM_MAILBOX_DEFAULT, 3);
    assert_int_equal(info_of(gate.pid).mailbox_policy, RUSM_MAILBOX_REFUSE);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(send_number(gate.pid, i), i < 3 ? RUSM_OK : RUSM_EFULL);
    }
    assert_true(info_of(gate.pid).refused == 7);
    assert_true(stats_of(rt).refused == 7);
    assert_true(stats_of(rt).sent == 3);
    let_through(&gate, 100);
    expect(&gate, 3);
}

/* ---- drop-oldest ---- */

static void drop_oldest_keeps_the_newest(void **state) {
    (void)state;
    static struct gate gate;
    start_gate(&gate, RUSM_MAILBOX_DROP_OLDEST, 3);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(send_number(gate.pid, i), RUSM_OK);
    }
    let_through(&gate, 3);
    expect(&gate, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(atoi(gate.texts[i]), 7 + i);
    }
    assert_true(info_of(gate.pid).displaced == 7);
    assert_int_equal(info_of(gate.pid).mailbox_depth, 0);
    rusm_runtime_stats stats = stats_of(rt);
    assert_true(stats.sent == 10 && stats.displaced == 7 && stats.dropped == 7);
    assert_true(stats.refused == 0);
    /* It goes on as before. */
    assert_int_equal(send_number(gate.pid, 11), RUSM_OK);
    let_through(&gate, 1);
    expect(&gate, 4);
    assert_string_equal(gate.texts[3], "11");
}

static void drop_oldest_is_bounded_in_bytes(void **state) {
    (void)state;
    static struct gate gate;
    rusm_msg *msg;
    start_gate(&gate, RUSM_MAILBOX_DROP_OLDEST, 100);
    assert_int_equal(send_number(gate.pid, 1), RUSM_OK);
    assert_int_equal(rusm_msg_new(960, &msg), RUSM_OK);
    strcpy((char *)rusm_msg_data(msg), "big");
    assert_int_equal(rusm_msg_send(rt, gate.pid, msg), RUSM_OK);
    assert_int_equal(rusm_msg_new(1000, &msg), RUSM_OK); /* never fits: displaces nothing */
    assert_int_equal(rusm_msg_send(rt, gate.pid, msg), RUSM_ETOOBIG);
    rusm_msg_free(msg);
    let_through(&gate, 1);
    expect(&gate, 1);
    assert_string_equal(gate.texts[0], "big");
    assert_true(stats_of(rt).displaced == 1);
}

static void drop_oldest_never_drops_signals(void **state) {
    (void)state;
    static struct gate gate;
    static struct puppet brief;
    start_gate(&gate, RUSM_MAILBOX_DROP_OLDEST, 2);
    puppet_start(&brief, rt);
    atomic_store(&gate.watches, brief.pid);
    assert_true(rusm__proc_wake(rt, gate.pid));
    WAIT_FOR(info_of(brief.pid).monitors == 1);
    assert_int_equal(send_number(gate.pid, 0), RUSM_OK);
    puppet_end_with(&brief, RUSM_EXIT_NORMAL, NULL);
    WAIT_FOR(quiet_since_last_call()); /* the DOWN is sent after the process is counted out */
    for (unsigned i = 1; i < 20; i++) {
        assert_int_equal(send_number(gate.pid, i), RUSM_OK);
    }
    let_through(&gate, 50);
    expect(&gate, 3);
    bool down = false;
    for (unsigned i = 0; i < 3; i++) {
        down = down || strcmp(gate.texts[i], "down") == 0;
    }
    assert_true(down);
    /* The monitor of a process of that policy works, too. */
    static struct puppet watcher;
    puppet_start(&watcher, rt);
    puppet_monitor(&watcher, gate.pid);
    assert_true(rusm_pid_kill(rt, gate.pid));
    assert_int_equal(puppet_wait_mail(&watcher, 0).kind, RUSM_MSG_DOWN);
}

struct chooser {
    _Atomic unsigned asked;
    _Atomic bool done;
    char chosen[8];
    char after[8];
};

static bool is_chosen(rusm_msg *msg, void *arg) {
    struct chooser *chooser = arg;
    atomic_fetch_add(&chooser->asked, 1);
    return rusm_msg_data(msg)[0] == 'x';
}

static void choose(rusm_proc *self, void *arg) {
    struct chooser *chooser = arg;
    rusm_msg *msg;
    if (rusm_receive_match(self, is_chosen, chooser, RUSM_FOREVER, &msg) == RUSM_OK) {
        snprintf(chooser->chosen, sizeof(chooser->chosen), "%s", (char *)rusm_msg_data(msg));
        rusm_msg_free(msg);
    }
    if (rusm_receive(self, RUSM_FOREVER, &msg) == RUSM_OK) {
        snprintf(chooser->after, sizeof(chooser->after), "%s", (char *)rusm_msg_data(msg));
        rusm_msg_free(msg);
    }
    atomic_store(&chooser->done, true);
}

static void drop_oldest_under_a_selective_receive(void **state) {
    (void)state;
    struct chooser chooser = {0};
    rusm_fiber_options options = {
        .size = sizeof(options),
        .main = choose,
        .arg = &chooser,
        .spawn = {.mailbox_messages = 3, .mailbox_policy = RUSM_MAILBOX_DROP_OLDEST}};
    rusm_pid pid;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
    for (unsigned i = 1; i <= 20; i++) { /* one by one: what it looks at is taken from under it */
        assert_int_equal(send_number(pid, i), RUSM_OK);
        WAIT_FOR(atomic_load(&chooser.asked) == i);
    }
    assert_int_equal(send_text(rt, pid, "x"), RUSM_OK);
    WAIT_FOR(atomic_load(&chooser.done));
    assert_string_equal(chooser.chosen, "x");
    assert_string_equal(chooser.after, "19"); /* 19, 20 and x were left */
}

/* ---- block-sender: fibers ---- */

struct sender {
    rusm_pid to;
    rusm_pid pid;
    uint64_t deadline_ns;
    unsigned from;
    unsigned count;
    _Atomic unsigned sent;
    _Atomic int status;
    _Atomic bool done;
};

static void send_numbers(rusm_proc *self, void *arg) {
    struct sender *sender = arg;
    int status = RUSM_OK;
    for (unsigned i = 0; i < sender->count && status == RUSM_OK; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", sender->from + i);
        rusm_msg *msg = new_msg(text);
        status = rusm_send(self, sender->to, msg, sender->deadline_ns);
        if (status == RUSM_OK) {
            atomic_fetch_add(&sender->sent, 1);
        } else {
            rusm_msg_free(msg); /* ours again, as after every send that fails */
        }
    }
    atomic_store(&sender->status, status);
    atomic_store(&sender->done, true);
}

static void start_sender(struct sender *sender, rusm_pid to, unsigned from, unsigned count,
                         uint64_t deadline_ns) {
    memset(sender, 0, sizeof(*sender));
    sender->to = to;
    sender->from = from;
    sender->count = count;
    sender->deadline_ns = deadline_ns;
    rusm_fiber_options options = {.size = sizeof(options), .main = send_numbers, .arg = sender};
    assert_int_equal(rusm_fiber_spawn(rt, &options, &sender->pid), RUSM_OK);
}

static size_t waiting_for(rusm_pid pid) {
    size_t count = 0;
    bool joined = rusm__read_begin(rt);
    rusm_proc *proc = rusm__table_find(&rt->procs->table, pid);
    if (proc) {
        struct rusm__valve *valve = proc->mailbox.valve;
        pthread_mutex_lock(&valve->lock);
        rusm__list_each(node, &valve->waiting) {
            count++;
        }
        pthread_mutex_unlock(&valve->lock);
    }
    rusm__read_end(rt, joined);
    return count;
}

static bool somebody_waits(rusm_pid pid) {
    rusm_msg *msg = new_msg("?");
    int status = rusm_msg_send(rt, pid, msg); /* no plain thread overtakes who waits */
    if (status != RUSM_OK) {
        rusm_msg_free(msg);
    }
    return status == RUSM_EFULL;
}

static void block_lets_a_fiber_wait(void **state) {
    (void)state;
    static struct gate gate;
    struct sender sender;
    start_gate(&gate, RUSM_MAILBOX_BLOCK_SENDER, 2);
    start_sender(&sender, gate.pid, 0, 20, RUSM_FOREVER);
    WAIT_FOR(atomic_load(&sender.sent) == 2);
    assert_true(somebody_waits(gate.pid));
    for (unsigned i = 1; i <= 20; i++) {
        let_through(&gate, 1);
        expect(&gate, i);
        assert_int_equal(atoi(gate.texts[i - 1]), i - 1);
        assert_true(info_of(gate.pid).mailbox_depth <= 2);
    }
    WAIT_FOR(atomic_load(&sender.done));
    assert_int_equal(atomic_load(&sender.status), RUSM_OK);
    assert_true(stats_of(rt).sent == 20);
    assert_true(info_of(gate.pid).refused == 1); /* the plain thread's */
}

static void block_serves_in_the_order_of_arrival(void **state) {
    (void)state;
    static struct gate gate;
    struct sender senders[5];
    start_gate(&gate, RUSM_MAILBOX_BLOCK_SENDER, 1);
    assert_int_equal(send_number(gate.pid, 0), RUSM_OK);
    for (unsigned i = 0; i < 5; i++) {
        start_sender(&senders[i], gate.pid, i + 1, 1, RUSM_FOREVER);
        WAIT_FOR(waiting_for(gate.pid) == i + 1);
    }
    let_through(&gate, 6);
    expect(&gate, 6);
    for (unsigned i = 0; i < 5; i++) {
        WAIT_FOR(atomic_load(&senders[i].done));
        assert_int_equal(atomic_load(&senders[i].status), RUSM_OK);
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(atoi(gate.texts[i]), i);
    }
}

static void block_ends_with_the_deadline(void **state) {
    (void)state;
    static struct gate gate;
    struct sender late, past;
    start_gate(&gate, RUSM_MAILBOX_BLOCK_SENDER, 1);
    assert_int_equal(send_number(gate.pid, 0), RUSM_OK);
    start_sender(&late, gate.pid, 1, 1, rusm_now_ns() + 20000000);
    start_sender(&past, gate.pid, 2, 1, 1);
    WAIT_FOR(atomic_load(&late.done) && atomic_load(&past.done));
    assert_int_equal(atomic_load(&late.status), RUSM_ETIMEDOUT);
    assert_int_equal(atomic_load(&past.status), RUSM_ETIMEDOUT);
    let_through(&gate, 10);
    expect(&gate, 1);
    assert_int_equal(send_number(gate.pid, 3), RUSM_OK); /* nobody waits any more */
    expect(&gate, 2);
    assert_string_equal(gate.texts[1], "3");
    assert_true(stats_of(rt).sent == 2);
}

static void block_forgets_a_sender_that_is_killed(void **state) {
    (void)state;
    static struct gate gate;
    struct sender first, second;
    start_gate(&gate, RUSM_MAILBOX_BLOCK_SENDER, 1);
    assert_int_equal(send_number(gate.pid, 0), RUSM_OK);
    start_sender(&first, gate.pid, 1, 1, RUSM_FOREVER);
    WAIT_FOR(waiting_for(gate.pid) == 1);
    start_sender(&second, gate.pid, 2, 1, RUSM_FOREVER);
    WAIT_FOR(waiting_for(gate.pid) == 2);
    assert_true(rusm_pid_kill(rt, first.pid));
    WAIT_FOR(atomic_load(&first.done));
    assert_int_equal(atomic_load(&first.status), RUSM_EEXITING);
    assert_int_equal(waiting_for(gate.pid), 1);
    let_through(&gate, 10);
    expect(&gate, 2);
    assert_string_equal(gate.texts[1], "2");
    WAIT_FOR(atomic_load(&second.done));
    assert_int_equal(atomic_load(&second.status), RUSM_OK);
}

static void block_ends_with_the_receiver(void **state) {
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        static struct gate gate;
        struct sender senders[10];
        start_gate(&gate, RUSM_MAILBOX_BLOCK_SENDER, 1);
        assert_int_equal(send_number(gate.pid, 0), RUSM_OK);
        for (unsigned i = 0; i < 10; i++) {
            start_sender(&senders[i], gate.pid, i, 1, RUSM_FOREVER);
        }
        WAIT_FOR(round == 0 || waiting_for(gate.pid) == 10);
        atomic_store(&gate.quits, true);
        rusm__proc_wake(rt, gate.pid);
        for (unsigned i = 0; i < 10; i++) {
            WAIT_FOR(atomic_load(&senders[i].done));
            assert_int_equal(atomic_load(&senders[i].status), RUSM_ENOPROC);
        }
        WAIT_FOR(rusm_runtime_process_count(rt) == 0);
    }
    assert_true(stats_of(rt).sent == 2 && stats_of(rt).dropped == 2);
}

struct misuse {
    rusm_pid to;
    _Atomic bool done;
    int own, big, dead, wrong;
};

static void misuse(rusm_proc *self, void *arg) {
    struct misuse *misuse = arg;
    rusm_msg *msg = new_msg("a");
    assert_int_equal(rusm_send(self, rusm_proc_pid(self), msg, RUSM_FOREVER), RUSM_OK);
    msg = new_msg("b");
    misuse->own = rusm_send(self, rusm_proc_pid(self), msg, RUSM_FOREVER);
    misuse->dead = rusm_send(self, 0xfffffff000000001ull, msg, RUSM_FOREVER);
    rusm_msg_free(msg);
    assert_int_equal(rusm_msg_new(1000, &msg), RUSM_OK);
    misuse->big = rusm_send(self, misuse->to, msg, RUSM_FOREVER);
    rusm_msg_free(msg);
    rusm_pid_kill(rusm_proc_runtime(self), misuse->to);
    uint64_t ref;
    assert_int_equal(rusm_proc_monitor(self, misuse->to, &ref), RUSM_OK);
    assert_int_equal(rusm_receive(self, RUSM_FOREVER, &msg), RUSM_OK);
    rusm_msg_free(msg);
    assert_int_equal(rusm_receive(self, RUSM_FOREVER, &msg), RUSM_OK);
    misuse->wrong = rusm_send(self, rusm_proc_pid(self), msg, RUSM_FOREVER); /* a DOWN */
    rusm_msg_free(msg);
    atomic_store(&misuse->done, true);
}

static void block_refuses_what_can_never_go(void **state) {
    (void)state;
    static struct gate gate;
    struct misuse wrong = {0};
    start_gate(&gate, RUSM_MAILBOX_BLOCK_SENDER, 1);
    wrong.to = gate.pid;
    rusm_fiber_options options = {
        .size = sizeof(options),
        .main = misuse,
        .arg = &wrong,
        .spawn = {.mailbox_messages = 1, .mailbox_policy = RUSM_MAILBOX_BLOCK_SENDER}};
    rusm_pid pid;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
    WAIT_FOR(atomic_load(&wrong.done));
    assert_int_equal(wrong.own, RUSM_EFULL);
    assert_int_equal(wrong.dead, RUSM_ENOPROC);
    assert_int_equal(wrong.big, RUSM_ETOOBIG);
    assert_int_equal(wrong.wrong, RUSM_EINVAL);
}

/* ---- block-sender: other bodies ---- */

struct letter {
    rusm_pid to;
    const char *text;
    int status;
    rusm_msg *back;
};

static rusm_step post(rusm_proc *self, void *arg) {
    struct letter *letter = arg;
    rusm_msg *msg = new_msg(letter->text);
    letter->status = rusm_proc_send(self, letter->to, msg);
    if (letter->status != RUSM_OK && letter->status != RUSM_EAGAIN) {
        rusm_msg_free(msg);
    }
    return RUSM_STEP_WAIT;
}

static int puppet_post(struct puppet *puppet, rusm_pid to, const char *text) {
    struct letter letter = {.to = to, .text = text};
    puppet_do(puppet, post, &letter);
    return letter.status;
}

static rusm_step ask(rusm_proc *self, void *arg) {
    struct letter *letter = arg;
    letter->status = rusm_proc_send_result(self, &letter->back);
    return RUSM_STEP_WAIT;
}

static int puppet_ask(struct puppet *puppet) {
    struct letter letter = {0};
    puppet_do(puppet, ask, &letter);
    assert_true((letter.back != NULL) == (letter.status == RUSM_ENOPROC));
    rusm_msg_free(letter.back);
    return letter.status;
}

static rusm_step withdraw(rusm_proc *self, void *arg) {
    struct letter *letter = arg;
    letter->back = rusm_proc_send_cancel(self);
    return RUSM_STEP_WAIT;
}

static void block_answers_again_later(void **state) {
    (void)state;
    static struct gate gate;
    static struct puppet puppet;
    struct letter letter = {0};
    start_gate(&gate, RUSM_MAILBOX_BLOCK_SENDER, 1);
    puppet_start(&puppet, rt);
    assert_int_equal(puppet_ask(&puppet), RUSM_OK); /* nothing waits */
    assert_int_equal(puppet_post(&puppet, gate.pid, "1"), RUSM_OK);
    assert_int_equal(puppet_post(&puppet, gate.pid, "2"), RUSM_EAGAIN);
    assert_int_equal(puppet_ask(&puppet), RUSM_EAGAIN);
    assert_int_equal(puppet_post(&puppet, gate.pid, "3"), RUSM_EBUSY);
    let_through(&gate, 1);
    WAIT_FOR(puppet_ask(&puppet) == RUSM_OK); /* 2 has taken the place of 1 */
    assert_int_equal(puppet_post(&puppet, gate.pid, "3"), RUSM_EAGAIN);
    puppet_do(&puppet, withdraw, &letter);
    assert_non_null(letter.back);
    assert_string_equal((char *)rusm_msg_data(letter.back), "3");
    rusm_msg_free(letter.back);
    puppet_do(&puppet, withdraw, &letter);
    assert_null(letter.back);
    assert_int_equal(puppet_post(&puppet, gate.pid, "4"), RUSM_EAGAIN);
    let_through(&gate, 2);
    expect(&gate, 3);
    assert_string_equal(gate.texts[1], "2");
    assert_string_equal(gate.texts[2], "4");
    /* The receiver's end, then the sender's. */
    assert_int_equal(puppet_post(&puppet, gate.pid, "5"), RUSM_OK);
    assert_int_equal(puppet_post(&puppet, gate.pid, "6"), RUSM_EAGAIN);
    assert_true(rusm_pid_kill(rt, gate.pid));
    WAIT_FOR(puppet_ask(&puppet) == RUSM_ENOPROC);
    start_gate(&gate, RUSM_MAILBOX_BLOCK_SENDER, 1);
    assert_int_equal(puppet_post(&puppet, gate.pid, "7"), RUSM_OK);
    assert_int_equal(puppet_post(&puppet, gate.pid, "8"), RUSM_EAGAIN);
    puppet_end_with(&puppet, RUSM_EXIT_NORMAL, NULL);
    let_through(&gate, 10);
    expect(&gate, 1);
    assert_int_equal(send_number(gate.pid, 9), RUSM_OK);
    expect(&gate, 2);
    assert_string_equal(gate.texts[1], "9");
}

struct caller {
    rusm_pid to;
    _Atomic int status;
    _Atomic bool done;
};

static void call_once(rusm_proc *self, void *arg) {
    struct caller *caller = arg;
    rusm_msg *request = new_msg("call"), *reply;
    int status = rusm_call(self, caller->to, &request, rusm_now_ns() + 60000000000ull, &reply);
    rusm_msg_free(request);
    rusm_msg_free(reply);
    atomic_store(&caller->status, status);
    atomic_store(&caller->done, true);
}

static void answer_calls(rusm_proc *self, void *arg) {
    _Atomic bool *go = arg;
    rusm_msg *msg, *reply;
    while (!atomic_load(go)) {
        if (rusm_sleep_until(self, rusm_now_ns() + 1000000) != RUSM_OK) {
            return;
        }
    }
    while (rusm_receive(self, RUSM_FOREVER, &msg) == RUSM_OK) {
        if (rusm_msg_copy("yes", 4, &reply) == RUSM_OK && rusm_reply(rt, msg, reply) != RUSM_OK) {
            rusm_msg_free(reply);
        }
        rusm_msg_free(msg);
    }
}

static void block_lets_calls_wait(void **state) {
    (void)state;
    _Atomic bool go = false;
    struct caller callers[8];
    rusm_fiber_options options = {
        .size = sizeof(options),
        .main = answer_calls,
        .arg = &go,
        .spawn = {.mailbox_messages = 1, .mailbox_policy = RUSM_MAILBOX_BLOCK_SENDER}};
    rusm_pid pid, caller;
    assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
    for (unsigned i = 0; i < 8; i++) {
        callers[i] = (struct caller){.to = pid};
        rusm_fiber_options call = {.size = sizeof(call), .main = call_once, .arg = &callers[i]};
        assert_int_equal(rusm_fiber_spawn(rt, &call, &caller), RUSM_OK);
    }
    nap_ms(10);
    atomic_store(&go, true);
    for (unsigned i = 0; i < 8; i++) {
        WAIT_FOR(atomic_load(&callers[i].done));
        assert_int_equal(atomic_load(&callers[i].status), RUSM_OK);
    }
}

/* ---- exit ---- */

static void exit_ends_the_receiver_with_a_reason(void **state) {
    (void)state;
    static struct gate gate;
    static struct puppet watcher;
    start_gate(&gate, RUSM_MAILBOX_EXIT, 3);
    puppet_start(&watcher, rt);
    puppet_monitor(&watcher, gate.pid);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(send_number(gate.pid, i), RUSM_OK);
    }
    assert_int_equal(send_number(gate.pid, 3), RUSM_EFULL);
    struct puppet_mail down = puppet_wait_mail(&watcher, 0);
    assert_int_equal(down.kind, RUSM_MSG_DOWN);
    assert_int_equal(down.exit_kind, RUSM_EXIT_CRASHED);
    assert_string_equal(down.text, "the mailbox is at its limit of 3 messages and 1000 bytes");
    WAIT_FOR(stats_of(rt).dropped == 3);
    assert_true(stats_of(rt).sent == 4 && stats_of(rt).refused == 1); /* 1: the watcher's order */
    puppet_end_with(&watcher, RUSM_EXIT_NORMAL, NULL);
}

/* ---- what never fits ---- */

struct giant {
    rusm_pid to;
    int by_fiber, by_process, by_anybody, by_call;
    _Atomic bool done;
};

static void send_giants(rusm_proc *self, void *arg) {
    struct giant *giant = arg;
    rusm_msg *msg, *reply;
    assert_int_equal(rusm_msg_new(2000, &msg), RUSM_OK);
    giant->by_fiber = rusm_send(self, giant->to, msg, RUSM_FOREVER);
    giant->by_process = rusm_proc_send(self, giant->to, msg);
    giant->by_anybody = rusm_msg_send(rt, giant->to, msg);
    giant->by_call = rusm_call(self, giant->to, &msg, RUSM_FOREVER, &reply);
    rusm_msg_free(msg); /* still ours */
    atomic_store(&giant->done, true);
}

static void what_never_fits_is_the_senders_mistake(void **state) {
    (void)state;
    for (int policy = RUSM_MAILBOX_REFUSE; policy <= RUSM_MAILBOX_EXIT; policy++) {
        static struct gate gate;
        struct giant giant = {0};
        rusm_timer timer;
        rusm_msg *msg;
        start_gate(&gate, (rusm_mailbox_policy)policy, 3);
        assert_int_equal(send_number(gate.pid, 1), RUSM_OK);
        giant.to = gate.pid;
        rusm_fiber_options options = {.size = sizeof(options), .main = send_giants, .arg = &giant};
        rusm_pid pid;
        assert_int_equal(rusm_fiber_spawn(rt, &options, &pid), RUSM_OK);
        WAIT_FOR(atomic_load(&giant.done));
        assert_int_equal(giant.by_fiber, RUSM_ETOOBIG);
        assert_int_equal(giant.by_process, RUSM_ETOOBIG);
        assert_int_equal(giant.by_anybody, RUSM_ETOOBIG);
        assert_int_equal(giant.by_call, RUSM_ETOOBIG);
        assert_int_equal(rusm_msg_new(2000, &msg), RUSM_OK);
        assert_int_equal(rusm_timer_send(rt, 0, gate.pid, msg, &timer), RUSM_OK);
        WAIT_FOR(info_of(gate.pid).refused == 5);
        assert_true(stats_of(rt).refused == 5u * (unsigned)policy);
        let_through(&gate, 10); /* the receiver never noticed */
        expect(&gate, 1);
        assert_string_equal(gate.texts[0], "1");
        assert_true(rusm_pid_kill(rt, gate.pid));
    }
}

/* ---- options ---- */

static void policies_have_a_default(void **state) {
    (void)state;
    rusm_runtime_options options = {
        .size = sizeof(options), .schedulers = 1, .mailbox_policy = RUSM_MAILBOX_DROP_OLDEST};
    rusm_runtime *own;
    assert_int_equal(rusm_runtime_start(&options, &own), RUSM_OK);
    static struct gate gate;
    rusm_spawn_options spawn = {.size = sizeof(spawn), .ops = &gate_ops, .body = &gate};
    rusm_proc_info *info;
    assert_int_equal(rusm_proc_spawn(own, &spawn, &gate.pid), RUSM_OK);
    assert_int_equal(rusm_pid_info(own, gate.pid, &info), RUSM_OK);
    assert_int_equal(info->mailbox_policy, RUSM_MAILBOX_DROP_OLDEST);
    rusm_proc_info_free(info);
    spawn.mailbox_policy = (rusm_mailbox_policy)(RUSM_MAILBOX_EXIT + 1);
    assert_int_equal(rusm_proc_spawn(own, &spawn, &gate.pid), RUSM_EINVAL);
    rusm_runtime_stop(own);
    options.mailbox_policy = (rusm_mailbox_policy)(RUSM_MAILBOX_EXIT + 1);
    assert_int_equal(rusm_runtime_start(&options, &own), RUSM_EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_two, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(refuse_counts_what_it_refuses),
        TEST(drop_oldest_keeps_the_newest),
        TEST(drop_oldest_is_bounded_in_bytes),
        TEST(drop_oldest_never_drops_signals),
        TEST(drop_oldest_under_a_selective_receive),
        TEST(block_lets_a_fiber_wait),
        TEST(block_serves_in_the_order_of_arrival),
        TEST(block_ends_with_the_deadline),
        TEST(block_forgets_a_sender_that_is_killed),
        TEST(block_ends_with_the_receiver),
        TEST(block_refuses_what_can_never_go),
        TEST(block_answers_again_later),
        TEST(block_lets_calls_wait),
        TEST(exit_ends_the_receiver_with_a_reason),
        TEST(what_never_fits_is_the_senders_mistake),
        cmocka_unit_test(policies_have_a_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
