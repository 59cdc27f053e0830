/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "proc/msg_impl.h"
#include "proc/proc.h"

#include "workload.h"
#include "world.h"

static const char *const names[NAMES] = {"n0", "n1", "n2", "n3", "n4"};
static const char *const tags[TAGS] = {"t0", "t1", "t2"};

static void expect(bool holds, const char *what, int status) {
    if (!holds) {
        sim_fail("%s: answer %d", what, status);
    }
}

/* Somebody whose pid is known; alive or not. */
static struct actor *anybody(void) {
    for (unsigned tries = 0; tries < 8 && model.actor_count; tries++) {
        /* The latest ones are more likely to live. */
        unsigned back = sim_below(sim_chance(70) ? model.circle : ACTORS);
        struct actor *actor =
            back < model.actor_count ? &model.actors[model.actor_count - 1 - back] : NULL;
        if (actor && actor->pid && actor->born) {
            return actor;
        }
    }
    return NULL;
}

uint64_t op_some_time(void) {
    return sim_chance(10) ? 0 : sim_now() + sim_below(sim_chance(50) ? 100000 : 20000000);
}

/* ---- messages ---- */

rusm_msg *op_new_msg(unsigned mail) {
    struct text text = {.magic = TEXT_MAGIC, .mail = mail};
    rusm_msg *msg = NULL;
    size_t len = sizeof(text) + (sim_chance(40) ? sim_below(150) : 0);
    if (!mail) {
        return NULL;
    }
    if (rusm_msg_new(len, &msg) != RUSM_OK) {
        model.mails[mail].state = REFUSED;
        return NULL;
    }
    memcpy(rusm_msg_data(msg), &text, sizeof(text));
    model.mails[mail].bytes = (uint32_t)rusm__msg_weight(msg);
    return msg;
}

/* What became of the mail that waits for room elsewhere. */
static void unparked(struct actor *self, int status, rusm_msg *msg) {
    struct mail *mail = &model.mails[self->parked];
    if (status == RUSM_EAGAIN) {
        return;
    }
    sim_trace("actor %u hears of mail %u: %d, %s", self->index, self->parked, status,
              msg ? "taken back" : "queued");
    if (msg && (mail->received || (status == RUSM_ENOPROC &&
                                   rusm_pid_is_alive(model.rt, model.actors[mail->to].pid)))) {
        sim_fail("mail %u was given back (%d)", self->parked, status);
    }
    mail->state = msg ? REFUSED : ACCEPTED;
    self->parked = 0;
    rusm_msg_free(msg);
}

void op_ask_parked(struct actor *self, rusm_proc *proc) {
    rusm_msg *msg = NULL;
    if (self->parked && !self->resting && sim_chance(10)) {
        msg = rusm_proc_send_cancel(proc);
        unparked(self, RUSM_OK, msg);
    } else if (self->parked) {
        int status = rusm_proc_send_result(proc, &msg);
        unparked(self, status, msg);
    }
}

static int send_somehow(struct actor *self, rusm_proc *proc, struct actor *to, rusm_msg *msg) {
    if (proc && self->is_fiber && sim_chance(50)) {
        uint64_t deadline_ns = op_some_time();
        int status = rusm_send(proc, to->pid, msg, deadline_ns);
        if (status == RUSM_ETIMEDOUT && sim_now() < deadline_ns) {
            sim_fail("a send gave up too early");
        }
        return status;
    }
    if (proc && !self->is_fiber && !self->parked && sim_chance(50)) {
        return rusm_proc_send(proc, to->pid, msg);
    }
    return rusm_msg_send(model.rt, to->pid, msg);
}

static void send_one(unsigned from, struct actor *self, rusm_proc *proc, struct actor *to) {
    unsigned mail = model_mail_new(sim_chance(30) ? PICKED : PLAIN, from, to->index);
    rusm_msg *msg = op_new_msg(mail);
    if (!msg) {
        return;
    }
    sim_trace("%u sends mail %u to actor %u", from, mail, to->index);
    model_mail_sending(mail);
    int status = send_somehow(self, proc, to, msg);
    if (status == RUSM_EAGAIN) {
        sim_trace("mail %u waits for room", mail);
        model.mails[mail].state = PARKED;
        self->parked = mail;
        return;
    }
    model_mail_sent(mail, status);
    if (status) {
        rusm_msg_free(msg);
    }
}

static void op_send(unsigned from, struct actor *self, rusm_proc *proc, struct actor *to) {
    unsigned burst = sim_chance(20) ? 1 + sim_below(12) : 1;
    for (unsigned i = 0; i < burst; i++) {
        send_one(from, self, proc, to);
    }
}

static void op_timer(unsigned from, struct actor *to) {
    unsigned number = model_mail_new(TIMED, from, to->index);
    rusm_msg *msg = op_new_msg(number);
    if (!msg) {
        return;
    }
    struct mail *mail = &model.mails[number];
    mail->deadline_ns = op_some_time();
    model_mail_sending(number);
    rusm_timer timer;
    sim_trace("%u arms mail %u to actor %u", from, number, to->index);
    int status = rusm_timer_send(model.rt, mail->deadline_ns, to->pid, msg, &timer);
    expect(status == RUSM_OK || status == RUSM_ENOMEM, "timer", status);
    if (status) {
        mail->state = REFUSED;
        rusm_msg_free(msg);
        return;
    }
    mail->state = ACCEPTED;
    mail->timer = timer;
    mail->armed = true;
}

static void op_cancel(void) {
    for (unsigned tries = 0; tries < 20 && model.mail_count; tries++) {
        struct mail *mail = &model.mails[1 + sim_below(model.mail_count)];
        if (!mail->armed) {
            continue;
        }
        bool cancelled = rusm_timer_cancel(model.rt, mail->timer);
        sim_trace("mail %u is cancelled: %d", (unsigned)(mail - model.mails), cancelled);
        if (cancelled && (mail->received || mail->cancelled)) {
            sim_fail("mail %u was cancelled after it %s", (unsigned)(mail - model.mails),
                     mail->received ? "came" : "was cancelled");
        }
        mail->cancelled |= cancelled;
        return;
    }
}

static void reply(struct actor *self, rusm_msg *call) {
    struct text text;
    memcpy(&text, rusm_msg_data(call), sizeof(text));
    unsigned number = model_mail_new(REPLY, self->index, model.mails[text.mail].from);
    rusm_msg *msg = op_new_msg(number);
    if (msg) {
        model.mails[number].call = text.mail;
        int status = rusm_reply(model.rt, call, msg);
        model_mail_sent(number, status);
        if (status) {
            rusm_msg_free(msg);
        }
    }
}

static void expect_one_reply(rusm_msg *call) {
    rusm_msg *msg;
    if (rusm_msg_new(0, &msg) == RUSM_OK) {
        int status = rusm_reply(model.rt, call, msg);
        expect(status == RUSM_EINVAL, "a second reply", status);
        rusm_msg_free(msg);
    }
}

static void answer(struct actor *self, rusm_msg *call) {
    unsigned place = sim_below(HELD);
    rusm_msg *other = self->held[place];
    if (sim_chance(30)) { /* later, perhaps */
        self->held[place] = call;
        call = other;
    }
    if (call && sim_chance(90)) {
        reply(self, call);
        if (!rusm_msg_is_call(call) && sim_chance(10)) {
            expect_one_reply(call);
        }
    }
    rusm_msg_free(call);
}

void op_handle(struct actor *self, rusm_proc *proc, rusm_msg *msg) {
    if (rusm_msg_get_kind(msg) != RUSM_MSG_DATA) {
        model_notice_received(self, msg);
        rusm_msg_free(msg);
        return;
    }
    unsigned number = model_mail_received(self, msg);
    if (model.mails[number].kind == REPLY) {
        sim_fail("a reply (mail %u) came as mail", number);
    }
    if (rusm_msg_is_call(msg)) {
        answer(self, msg);
    } else if (!self->resting && sim_chance(10)) {
        model.mails[number].stashed = true;
        rusm_proc_stash(proc, msg);
    } else {
        rusm_msg_free(msg);
    }
}

static void call_answered(struct actor *self, unsigned number, int status, uint64_t deadline_ns,
                          rusm_msg *answer_msg) {
    const struct mail *mail = &model.mails[number];
    if (status == RUSM_OK) {
        unsigned got = model_mail_received(self, answer_msg);
        if (model.mails[got].kind != REPLY || model.mails[got].call != number) {
            sim_fail("call %u was answered by mail %u", number, got);
        }
        return;
    }
    expect(!answer_msg, "an answer with an error", status);
    if (status == RUSM_ETIMEDOUT && sim_now() < deadline_ns) {
        sim_fail("call %u ended too early", number);
    }
    if (status == RUSM_ENOPROC && rusm_pid_is_alive(model.rt, model.actors[mail->to].pid)) {
        sim_fail("call %u: its target lives", number);
    }
    expect(status == RUSM_ETIMEDOUT || status == RUSM_ENOPROC || status == RUSM_EFULL ||
               status == RUSM_ENOMEM || status == RUSM_EEXITING ||
               (status == RUSM_ETOOBIG && mail->bytes > model.actors[mail->to].cap_bytes),
           "call", status);
}

void op_call(struct actor *self, rusm_proc *proc) {
    struct actor *to = anybody();
    unsigned number = to && to != self ? model_mail_new(CALL, self->index, to->index) : 0;
    rusm_msg *request = op_new_msg(number);
    if (!request) {
        return;
    }
    struct mail *mail = &model.mails[number];
    uint64_t deadline_ns = op_some_time();
    rusm_msg *answer_msg;
    sim_trace("actor %u calls %u with mail %u", self->index, to->index, number);
    model_mail_sending(number);
    int status = rusm_call(proc, to->pid, &request, deadline_ns, &answer_msg);
    sim_trace("call %u is answered: %d", number, status);
    mail->state = request ? REFUSED : ACCEPTED;
    model.refused += status == RUSM_EFULL || status == RUSM_ETOOBIG;
    to->must_die |= status == RUSM_EFULL && to->policy == RUSM_MAILBOX_EXIT;
    if (request && mail->received) {
        sim_fail("call %u was refused (%d) and received", number, status);
    }
    rusm_msg_free(request);
    call_answered(self, number, status, deadline_ns, answer_msg);
    rusm_msg_free(answer_msg);
}

/* ---- ties ---- */

static void op_monitor(struct actor *self, rusm_proc *proc, struct actor *target) {
    uint64_t ref;
    struct watch *watch = model_watch_new(self->index, target->index);
    if (!watch) {
        return;
    }
    int status = rusm_proc_monitor(proc, target->pid, &ref);
    sim_trace("actor %u monitors %u: %d", self->index, target->index, status);
    expect(status == RUSM_OK || status == RUSM_ENOMEM, "monitor", status);
    watch->ref = ref;
    watch->active = status == RUSM_OK;
}

static void op_demonitor(struct actor *self, rusm_proc *proc) {
    for (unsigned tries = 0; tries < 20 && model.watch_count; tries++) {
        struct watch *watch = &model.watches[sim_below(model.watch_count)];
        if (watch->watcher == self->index && watch->ref && !watch->at_spawn) {
            sim_trace("actor %u takes the monitor of %u back", self->index, watch->target);
            rusm_proc_demonitor(proc, watch->ref);
            watch->active = false;
            return;
        }
    }
}

static void op_link(struct actor *self, rusm_proc *proc, struct actor *other) {
    model.link_calls[self->index][other->index]++;
    model.parted[self->index][other->index] = false;
    self->causes |= BY_LINK;
    other->causes |= BY_LINK;
    int status = rusm_proc_link(proc, other->pid);
    sim_trace("actor %u links to %u: %d", self->index, other->index, status);
    expect(status == RUSM_OK || status == RUSM_ENOMEM, "link", status);
    if (status || other == self) {
        model.link_calls[self->index][other->index]--;
    }
}

static void op_unlink(struct actor *self, rusm_proc *proc, struct actor *other) {
    rusm_msg *msg;
    while (!self->is_fiber && (msg = rusm__proc_receive(proc)) != NULL) { /* all of it */
        op_handle(self, proc, msg);
    }
    model.unlink_calls[self->index][other->index] = 1;
    model.parted[self->index][other->index] = !self->is_fiber && !rusm__proc_is_doomed(proc);
    sim_trace("actor %u unlinks from %u", self->index, other->index);
    rusm_proc_unlink(proc, other->pid);
}

/* ---- ends of others ---- */

static void op_exit(unsigned from, struct actor *to) {
    rusm_exit_kind kind = (rusm_exit_kind)sim_below(4);
    bool ends = kind != RUSM_EXIT_NORMAL || from == to->index; /* normal ends only oneself */
    to->causes |= ends ? BY_SIGNAL : 0;
    if (from < ACTORS) {
        model.exit_calls[from][to->index]++;
    }
    int status = rusm_pid_exit(model.rt, to->pid, kind, sim_chance(50) ? "told to" : NULL);
    sim_trace("%u sends %s to actor %u: %d", from, rusm_exit_kind_name(kind), to->index, status);
    expect(status == RUSM_OK || status == RUSM_ENOMEM || status == RUSM_ENOPROC, "exit", status);
    if (status == RUSM_OK && ends && to->trap == NEVER_TRAPS) {
        to->must_die = true;
    }
    if (status == RUSM_ENOPROC && rusm_pid_is_alive(model.rt, to->pid)) {
        sim_fail("an exit signal to actor %u found nobody, and it lives", to->index);
    }
}

static void op_kill(unsigned from, struct actor *to) {
    bool was_gone = !rusm_pid_is_alive(model.rt, to->pid);
    to->causes |= BY_KILL;
    bool killed = rusm_pid_kill(model.rt, to->pid);
    sim_trace("%u kills actor %u: %d", from, to->index, killed);
    if (killed && was_gone) {
        sim_fail("actor %u was killed after its end", to->index);
    }
    to->told_kill |= killed;
}

static void op_tag_kill(void) {
    unsigned tag = sim_below(TAGS);
    for (unsigned i = 0; i < model.actor_count; i++) {
        model.actors[i].causes |= (model.actors[i].tags_ever >> tag & 1) ? BY_KILL : 0;
    }
    model.tag_kills[tag]++;
    size_t killed = rusm_tag_kill(model.rt, tags[tag], 2);
    model.tag_kills[tag]--;
    sim_trace("tag %u is killed: %zu", tag, killed);
}

/* ---- words ---- */

static void op_register(struct actor *self, rusm_proc *proc) {
    unsigned name = sim_below(NAMES);
    bool had = self->names >> name & 1;
    self->names_ever |= 1u << name;
    int status = rusm_proc_register(proc, names[name], 2);
    sim_trace("actor %u registers name %u: %d", self->index, name, status);
    expect(status == RUSM_OK || status == RUSM_EEXIST || status == RUSM_ENOMEM, "register", status);
    if (status != RUSM_OK) {
        return;
    }
    if (had || rusm_name_whereis(model.rt, names[name], 2) != self->pid) {
        sim_fail("actor %u registered name %u%s", self->index, name,
                 had ? " twice" : " and it is another's");
    }
    self->names |= 1u << name;
}

static void op_unregister(struct actor *self, rusm_proc *proc) {
    unsigned name = sim_below(NAMES);
    bool had = self->names >> name & 1;
    int status = rusm_proc_unregister(proc, names[name], 2);
    sim_trace("actor %u unregisters name %u: %d", self->index, name, status);
    if (had != (status == RUSM_OK) || (!had && status != RUSM_EPERM && status != RUSM_ENOTFOUND)) {
        sim_fail("actor %u gives up name %u: answer %d", self->index, name, status);
    }
    self->names &= ~(1u << name);
}

static void list_the_dead(bool dead[ACTORS]) {
    for (unsigned i = 0; i < ACTORS; i++) {
        dead[i] = model.actors[i].dropped;
    }
}

/* What a look-up found; `dead` were so before it. One that is being born has no known pid yet. */
static void check_holder(unsigned name, rusm_pid pid, const bool dead[ACTORS]) {
    const struct actor *actor = model_actor_of(pid);
    if (!actor && model.naming[name]) {
        return;
    }
    if (!actor || !(actor->names_ever >> name & 1) || dead[actor->index]) {
        sim_fail("name %u is held by actor %d, who %s", name, actor ? (int)actor->index : -1,
                 actor && dead[actor->index] ? "is dead" : "never asked for it");
    }
}

static void op_whereis(void) {
    unsigned name = sim_below(NAMES);
    bool dead[ACTORS];
    list_the_dead(dead);
    rusm_pid pid = rusm_name_whereis(model.rt, names[name], 2);
    if (pid) {
        check_holder(name, pid, dead);
    }
}

static void op_join(struct actor *self, rusm_proc *proc) {
    unsigned tag = sim_below(TAGS);
    self->tags_ever |= 1u << tag;
    self->causes |= model.tag_kills[tag] ? BY_KILL : 0;
    int status = rusm_proc_join(proc, tags[tag], 2);
    expect(status == RUSM_OK || status == RUSM_ENOMEM, "join", status);
    sim_trace("actor %u joins tag %u: %d", self->index, tag, status);
    self->tags |= status == RUSM_OK ? 1u << tag : 0;
}

static void op_leave(struct actor *self, rusm_proc *proc) {
    unsigned tag = sim_below(TAGS);
    rusm_proc_leave(proc, tags[tag], 2);
    self->tags &= ~(1u << tag);
}

static void op_look(void) {
    rusm_pid pids[ACTORS];
    unsigned tag = sim_below(TAGS);
    size_t count = rusm_tag_whereis(model.rt, tags[tag], 2, pids, ACTORS);
    for (size_t i = 0; i < count && i < ACTORS; i++) {
        const struct actor *actor = model_actor_of(pids[i]);
        if (!actor || !(actor->tags_ever >> tag & 1)) {
            sim_fail("tag %u has a member that never joined", tag);
        }
    }
    struct actor *actor = anybody();
    rusm_proc_info *info = NULL;
    if (actor && rusm_pid_info(model.rt, actor->pid, &info) == RUSM_OK) {
        if (info->pid != actor->pid || info->name_count > NAMES) {
            sim_fail("wrong information about actor %u", actor->index);
        }
        rusm_proc_info_free(info);
    }
}

/* ---- births ---- */

static struct actor *new_actor(void) {
    if (model.actor_count == ACTORS) {
        return NULL;
    }
    struct actor *actor = &model.actors[model.actor_count];
    *actor = (struct actor){
        .index = model.actor_count++,
        .is_fiber = sim_chance(40),
        .trap = (enum trap)sim_below(3),
        .cap = sim_chance(model.tightness) ? 1 + sim_below(4) : 0,
        .policy = sim_chance(30) ? RUSM_MAILBOX_BLOCK_SENDER : (rusm_mailbox_policy)sim_below(5),
        .budget = 4 + sim_below(24),
        .unwinds = sim_below(3),
    };
    return actor;
}

/* As if it had the name already, for it may run before we know. */
static void name_it(struct actor *actor, rusm_spawn_options *options, unsigned name) {
    options->name = names[name];
    actor->names = actor->names_ever = 1u << name;
    model.naming[name]++;
}

static void named(struct actor *actor, unsigned name, int status, rusm_pid pid,
                  const bool dead[ACTORS]) {
    if (status != RUSM_OK) {
        actor->names = actor->names_ever = 0;
    }
    if (status == RUSM_EEXIST) {
        check_holder(name, pid, dead);
    }
    model.naming[name]--;
}

static int spawn(struct actor *actor, rusm_spawn_options *options) {
    rusm_pid pid;
    int status;
    unsigned name = sim_chance(20) ? sim_below(NAMES) : NAMES;
    bool dead[ACTORS];
    list_the_dead(dead);
    if (name < NAMES) {
        name_it(actor, options, name);
    }
    options->size = sizeof(*options);
    if (actor->is_fiber) {
        rusm_fiber_options fiber = {.size = sizeof(fiber),
                                    .main = fiber_main,
                                    .arg = actor,
                                    .drop = body_drop,
                                    .stack_bytes = 32 * 1024,
                                    .spawn = *options};
        status = rusm_fiber_spawn(model.rt, &fiber, &pid);
    } else {
        options->ops = sim_chance(50) ? &stepper_ops : &winding_ops;
        options->body = actor;
        status = rusm_proc_spawn(model.rt, options, &pid);
    }
    sim_fence(); /* others learn the pid from a plain variable */
    if (status == RUSM_OK) {
        actor->pid = pid;
    }
    if (name < NAMES) {
        named(actor, name, status, pid, dead);
    }
    return status == RUSM_EEXIST && name == NAMES ? RUSM_EINVAL : status; /* nobody asked for one */
}

static void spawn_answered(struct actor *actor, unsigned first, struct watch *watch, int status) {
    sim_trace("actor %u is born: %d", actor->index, status);
    expect(status == RUSM_OK || status == RUSM_ENOMEM || status == RUSM_EPROCS ||
               status == RUSM_EEXIST || (status == RUSM_ESTATE && model.stopping),
           "spawn", status);
    actor->born = status == RUSM_OK;
    model.spawned += status == RUSM_OK;
    if (first) {
        model.mails[first].state = status == RUSM_OK ? ACCEPTED : REFUSED;
    }
    if (watch) {
        watch->active = status == RUSM_OK;
    }
    if (status != RUSM_OK && (actor->started || actor->dropped)) {
        sim_fail("actor %u was not born (%d) and ran", actor->index, status);
    }
    if (model.spawned - model.dropped > model.max_processes) {
        sim_fail("more than %u processes", model.max_processes);
    }
}

struct actor *op_spawn(unsigned from, struct actor *self, rusm_proc *proc) {
    struct actor *actor = new_actor();
    if (!actor) {
        return NULL;
    }
    actor->cap_bytes = actor->cap ? 150 + sim_below(300) : 0;
    rusm_spawn_options options = {.mailbox_messages = actor->cap,
                                  .mailbox_bytes = actor->cap_bytes,
                                  .mailbox_policy = actor->policy};
    options.flags = (sim_chance(20) ? RUSM_SPAWN_PINNED : 0) |
                    (sim_chance(20) ? RUSM_SPAWN_NEXT : 0) |
                    (sim_chance(20) ? RUSM_SPAWN_LOGGED : 0);
    options.label = sim_chance(30) ? "label" : NULL;
    unsigned first = sim_chance(30) ? model_mail_new(PLAIN, from, actor->index) : 0;
    options.first = op_new_msg(first);
    struct watch *watch =
        self && sim_chance(30) ? model_watch_new(self->index, actor->index) : NULL;
    if (watch) {
        watch->at_spawn = true;
        watch->active = true;
        watch->ref = (uint64_t)1 << 63 | model.watch_count;
        options.monitor_by = rusm_proc_pid(proc);
        options.monitor_ref = watch->ref;
    }
    int status = spawn(actor, &options);
    spawn_answered(actor, options.first ? first : 0, watch, status);
    if (status) {
        rusm_msg_free(options.first);
    }
    return actor;
}

/* ---- anything ---- */

static void op_label(struct actor *self, rusm_proc *proc) {
    (void)self;
    char text[16];
    int len = snprintf(text, sizeof(text), "label %u", sim_below(100));
    int status = rusm_proc_set_label(proc, text, (size_t)len);
    expect(status == RUSM_OK || status == RUSM_ENOMEM, "label", status);
}

static void op_trap(struct actor *self, rusm_proc *proc) {
    if (self->trap == SOMETIMES_TRAPS) {
        rusm_proc_trap_exit(proc, sim_chance(50));
    }
}

/* Both ways, again and again: requests cross. */
static void op_waver(struct actor *self, rusm_proc *proc) {
    unsigned partner = self->index ^ 1u;
    if (partner >= model.actor_count || !model.actors[partner].born) {
        return;
    }
    for (unsigned i = 1 + sim_below(4); i > 0; i--) {
        if (sim_chance(50)) {
            op_link(self, proc, &model.actors[partner]);
        } else {
            op_unlink(self, proc, &model.actors[partner]);
        }
    }
}

static void own_op(unsigned which, struct actor *self, rusm_proc *proc) {
    struct actor *other = anybody();
    switch (which) {
    case 0:
    case 1:
        if (other) {
            op_monitor(self, proc, other);
        }
        break;
    case 2:
        op_demonitor(self, proc);
        break;
    case 3:
        if (other) {
            op_link(self, proc, other);
        }
        break;
    case 4:
        if (other) {
            op_unlink(self, proc, other);
        }
        break;
    case 5:
        op_register(self, proc);
        break;
    case 6:
        op_unregister(self, proc);
        break;
    case 7:
        op_join(self, proc);
        break;
    case 8:
        op_leave(self, proc);
        break;
    case 9:
        rusm_proc_unstash(proc);
        break;
    case 10:
        op_label(self, proc);
        break;
    case 11:
    case 12:
        op_waver(self, proc);
        break;
    default:
        op_trap(self, proc);
        break;
    }
}

static void common_op(unsigned which, unsigned from, struct actor *self, rusm_proc *proc) {
    struct actor *other = anybody();
    if (which >= 58 && which < 70 && !sim_chance(model.violence)) {
        which = 0;
    }
    if (which >= 90) {
        op_spawn(from, self, proc);
    } else if (which >= 82) {
        op_whereis();
        op_look();
    } else if (which >= 70) {
        op_cancel();
    } else if (which >= 68) {
        op_tag_kill();
    } else if (!other) {
        op_spawn(from, self, proc);
    } else if (which >= 64) {
        op_kill(from, other);
    } else if (which >= 58) {
        op_exit(from, other);
    } else if (which >= 44) {
        op_timer(from, other);
    } else {
        op_send(from, self, proc, other);
    }
}

void op_anything(unsigned from, struct actor *self, rusm_proc *proc) {
    if (model.starving && sim_below(model.starving) == 0) {
        rusm__mem_fail_nth(1 + sim_below(5));
    }
    if (self && sim_chance(45)) {
        own_op(sim_below(14), self, proc);
    } else {
        common_op(sim_below(100), from, self, proc);
    }
}
