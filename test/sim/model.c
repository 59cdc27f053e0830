/* SPDX-License-Identifier: MIT */
/* What is checked while things happen. */
#include "model.h"

#include <string.h>

#include "rusm/error.h"

#include "proc/msg_impl.h"

#include "world.h"

struct model model;

struct actor *model_actor_of(rusm_pid pid) {
    for (unsigned i = 0; pid && i < model.actor_count; i++) {
        if (model.actors[i].pid == pid) {
            return &model.actors[i];
        }
    }
    return NULL;
}

/* ---- mail ---- */

unsigned model_mail_new(enum mail_kind kind, unsigned from, unsigned to) {
    if (model.mail_count + 1 >= MAILS) {
        return 0;
    }
    unsigned number = ++model.mail_count;
    model.mails[number] = (struct mail){.kind = kind, .from = from, .to = to};
    if (kind < LANES) {
        model.mails[number].previous = model.last_mail[from][to][kind];
        model.last_mail[from][to][kind] = number;
    }
    return number;
}

static unsigned waiting_for(unsigned to) {
    unsigned count = 0;
    for (unsigned i = 1; i <= model.mail_count; i++) {
        const struct mail *mail = &model.mails[i];
        count +=
            mail->to == to && mail->kind != TIMED && mail->state == ACCEPTED && !mail->received;
    }
    return count;
}

void model_mail_sending(unsigned number) {
    struct actor *to = &model.actors[model.mails[number].to];
    to->causes |= to->policy == RUSM_MAILBOX_EXIT ? BY_OVERFLOW : 0;
}

/* As many as it may hold, and one: what wakes a process is counted a moment after it was queued,
 * and a receiver lets waiting senders in before it returns what it has taken. */
static void check_bound(const struct actor *to, unsigned number) {
    if (to->cap && to->policy != RUSM_MAILBOX_DROP_OLDEST && !to->is_fiber && !to->dropped &&
        waiting_for(to->index) > to->cap + 1) {
        sim_fail("mail %u is too many for the mailbox of actor %u (%u, policy %d)", number,
                 to->index, to->cap, (int)to->policy);
    }
}

void model_mail_sent(unsigned number, int status) {
    struct mail *mail = &model.mails[number];
    struct actor *to = &model.actors[mail->to];
    sim_note((uint64_t)(unsigned)-status);
    if (mail->kind == REPLY && status != RUSM_OK && status != RUSM_ENOPROC) {
        sim_fail("reply %u was refused (%d)", number, status);
    }
    mail->state = status == RUSM_OK ? ACCEPTED : REFUSED;
    switch (status) {
    case RUSM_OK:
        check_bound(to, number);
        return;
    case RUSM_EFULL:
        model.refused++;
        if (!to->cap || to->policy == RUSM_MAILBOX_DROP_OLDEST) {
            sim_fail("mail %u: actor %u's mailbox is not full", number, mail->to);
        }
        to->must_die |= to->policy == RUSM_MAILBOX_EXIT;
        break;
    case RUSM_ENOPROC:
        if (rusm_pid_is_alive(model.rt, to->pid)) {
            sim_fail("mail %u: actor %u lives", number, mail->to);
        }
        break;
    case RUSM_ETOOBIG:
        model.refused++;
        if (!to->cap || mail->bytes <= to->cap_bytes) {
            sim_fail("mail %u is not too big for actor %u", number, mail->to);
        }
        break;
    case RUSM_ENOMEM:
    case RUSM_EBUSY:
    case RUSM_ETIMEDOUT:
    case RUSM_EEXITING:
        break;
    default:
        sim_fail("mail %u: answer %d", number, status);
    }
    if (mail->received) {
        sim_fail("mail %u was refused (%d) and received", number, status);
    }
}

/* Everything that the sender sent before has come, unless it was refused, or displaced: then it may
 * not come any more. */
static void check_order(const struct mail *mail, unsigned number, const char *what) {
    bool displaces = model.actors[mail->to].policy == RUSM_MAILBOX_DROP_OLDEST;
    for (unsigned at = number; at; at = model.mails[at].previous) {
        struct mail *earlier = &model.mails[at];
        if (earlier->received) {
            return;
        }
        earlier->lost = true;
        if (earlier->state == ACCEPTED && !displaces) {
            sim_fail("%s overtook mail %u from %u to %u", what, at, mail->from, mail->to);
        }
    }
}

static void check_timed(const struct mail *mail, unsigned number) {
    if (mail->cancelled) {
        sim_fail("mail %u was cancelled and came", number);
    }
    if (sim_now() < mail->deadline_ns) {
        sim_fail("mail %u came early", number);
    }
}

static void check_sender(const struct mail *mail, unsigned number, const rusm_msg *msg) {
    rusm_pid from = mail->from < ACTORS ? model.actors[mail->from].pid : 0;
    if (rusm_msg_from(msg) != from) {
        sim_fail("mail %u: not from its sender", number);
    }
}

unsigned model_mail_received(struct actor *self, rusm_msg *msg) {
    struct text text;
    if (rusm_msg_len(msg) < sizeof(text)) {
        sim_fail("actor %u got a message of %zu bytes", self->index, rusm_msg_len(msg));
    }
    memcpy(&text, rusm_msg_data(msg), sizeof(text));
    if (text.magic != TEXT_MAGIC || text.mail == 0 || text.mail > model.mail_count) {
        sim_fail("actor %u got rubbish", self->index);
    }
    struct mail *mail = &model.mails[text.mail];
    sim_note(text.mail);
    sim_trace("actor %u gets mail %u of %u", self->index, text.mail, mail->from);
    if (mail->bytes != rusm__msg_weight(msg)) {
        sim_fail("mail %u has another size", text.mail);
    }
    if (mail->to != self->index || mail->state == REFUSED) {
        sim_fail("actor %u got mail %u, which is not for it", self->index, text.mail);
    }
    if (mail->lost) {
        sim_fail("mail %u was displaced or taken back, and came", text.mail);
    }
    if (mail->received && !mail->stashed) {
        sim_fail("mail %u came twice", text.mail);
    }
    check_sender(mail, text.mail, msg);
    if (mail->kind == TIMED) {
        check_timed(mail, text.mail);
    } else if (mail->kind < LANES && !mail->received) {
        check_order(mail, mail->previous, "mail");
    }
    model.received += !mail->received;
    mail->received = true;
    mail->stashed = false;
    return text.mail;
}

/* ---- notices ---- */

static void check_end_is_known(struct actor *dead, const rusm_msg *msg) {
    rusm_exit_kind kind = rusm_msg_exit_kind(msg);
    const char *text = (const char *)rusm_msg_data((rusm_msg *)(uintptr_t)msg);
    if (kind == RUSM_EXIT_NOPROC) {
        return;
    }
    if (!dead->end_known) {
        dead->end_known = true;
        dead->end_kind = kind;
        strncpy(dead->end_text, text, sizeof(dead->end_text) - 1);
    } else if (dead->end_kind != kind ||
               strncmp(dead->end_text, text, sizeof(dead->end_text) - 1) != 0) {
        sim_fail("actor %u ended %s (%s) and %s (%s)", dead->index,
                 rusm_exit_kind_name(dead->end_kind), dead->end_text, rusm_exit_kind_name(kind),
                 text);
    }
    if (kind == RUSM_EXIT_KILLED && !(dead->causes & (BY_KILL | BY_SIGNAL | BY_LINK)) &&
        !model.stopping) {
        sim_fail("nobody killed actor %u", dead->index);
    }
}

/* Whoever is told of an end finds everything free that the dead one had. */
static void check_is_gone(const struct actor *dead) {
    static const char *const names[] = {"n0", "n1", "n2", "n3", "n4"};
    if (!dead->dropped) {
        sim_fail("actor %u's end is told before its body is gone", dead->index);
    }
    if (rusm_pid_is_alive(model.rt, dead->pid)) {
        sim_fail("actor %u's end is told and it lives", dead->index);
    }
    for (unsigned i = 0; i < NAMES; i++) {
        if ((dead->names_ever >> i & 1) && rusm_name_whereis(model.rt, names[i], 2) == dead->pid) {
            sim_fail("actor %u's end is told and it holds name %u", dead->index, i);
        }
    }
}

static void check_nothing_behind(const struct actor *self, const struct actor *dead,
                                 const rusm_msg *msg) {
    if (rusm_msg_exit_kind(msg) == RUSM_EXIT_NOPROC) {
        return; /* not a signal of the dead one */
    }
    for (unsigned kind = 0; kind < LANES; kind++) {
        unsigned last = model.last_mail[dead->index][self->index][kind];
        if (last) {
            check_order(&model.mails[last], last, "the end of its sender");
        }
    }
}

static void down_received(struct actor *self, struct actor *dead, rusm_msg *msg) {
    for (unsigned i = 0; i < model.watch_count; i++) {
        struct watch *watch = &model.watches[i];
        if (watch->watcher != self->index || watch->ref != rusm_msg_ref(msg)) {
            continue;
        }
        if (!watch->active || watch->downs > 0 || &model.actors[watch->target] != dead) {
            sim_fail("a DOWN of actor %u at %u that was %s", dead->index, self->index,
                     !watch->active ? "taken back"
                     : watch->downs ? "told before"
                                    : "of another");
        }
        watch->downs++;
        return;
    }
    sim_fail("a DOWN of actor %u at %u that nobody asked for", dead->index, self->index);
}

static void exit_received(struct actor *self, struct actor *from, bool over_link) {
    unsigned s = self->index, f = from->index;
    if (over_link && model.parted[s][f] && !model.link_calls[f][s]) {
        sim_fail("actor %u got an EXIT of %u over a link that it had taken back", s, f);
    }
    if (self->trap == NEVER_TRAPS) {
        sim_fail("actor %u got an EXIT and does not trap", s);
    }
    model.exits[s][f]++;
    if (model.exits[s][f] >
        model.exit_calls[f][s] + model.link_calls[f][s] + model.link_calls[s][f]) {
        sim_fail("actor %u got an EXIT of %u too many", s, f);
    }
}

void model_notice_received(struct actor *self, rusm_msg *msg) {
    struct actor *from = model_actor_of(rusm_msg_from(msg));
    bool is_down = rusm_msg_get_kind(msg) == RUSM_MSG_DOWN;
    bool of_the_dead = is_down || (msg->flags & RUSM__MSG_LINKED);
    sim_note(0x1000 + (uint64_t)rusm_msg_exit_kind(msg));
    sim_trace("actor %u is told of %d (%s: %s)", self->index, from ? (int)from->index : -1,
              rusm_exit_kind_name(rusm_msg_exit_kind(msg)), (const char *)rusm_msg_data(msg));
    if (!from) {
        if (of_the_dead || rusm_msg_from(msg) != 0) {
            sim_fail("actor %u is told of nobody", self->index);
        }
        return; /* an exit signal of a plain thread */
    }
    if (is_down) {
        down_received(self, from, msg);
    } else {
        exit_received(self, from, msg->flags & RUSM__MSG_LINKED);
    }
    if (of_the_dead) {
        check_is_gone(from);
        check_end_is_known(from, msg);
        check_nothing_behind(self, from, msg);
    }
}

struct watch *model_watch_new(unsigned watcher, unsigned target) {
    if (model.watch_count == MONITORS) {
        return NULL;
    }
    struct watch *watch = &model.watches[model.watch_count++];
    *watch = (struct watch){.watcher = watcher, .target = target};
    return watch;
}

/* ---- lives ---- */

void model_step_begins(struct actor *actor, rusm_proc *self) {
    actor->pid = rusm_proc_pid(self);
    actor->last_step_ns = sim_now();
    if (actor->told_kill) {
        sim_fail("actor %u runs after it was killed", actor->index);
    }
    if (actor->dropped || actor->in_step) {
        sim_fail("actor %u runs %s", actor->index, actor->dropped ? "after its end" : "twice");
    }
}

void model_actor_dropped(struct actor *actor) {
    sim_fence();
    sim_note(0x2000 + actor->index);
    sim_trace("actor %u is dropped", actor->index);
    if (actor->dropped || actor->in_step) {
        sim_fail("actor %u is dropped %s", actor->index,
                 actor->dropped ? "twice" : "while it runs");
    }
    bool no_stack = actor->is_fiber && !actor->started;
    if (!actor->causes && !model.stopping && !no_stack) {
        sim_fail("actor %u ended for no reason", actor->index);
    }
    for (unsigned i = 0; i < HELD; i++) {
        rusm_msg_free(actor->held[i]);
        actor->held[i] = NULL;
    }
    actor->dropped = true;
    model.dropped++;
}
