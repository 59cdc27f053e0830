/* SPDX-License-Identifier: MIT */
/* What must be true of a run: everything that the workload did, and what it was told.
 *
 * The workload runs on the one thread of the world and is interrupted only inside calls of the
 * core, so plain variables do. Each operation is noted before the call where others may see its
 * effect before it returns, and completed after it. */
#ifndef RUSM_TEST_SIM_MODEL_H
#define RUSM_TEST_SIM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "rusm/fiber.h"
#include "rusm/process.h"

enum {
    ACTORS = 48,
    OUTSIDERS = 3, /* plain threads, main among them */
    SENDERS = ACTORS + OUTSIDERS,
    MAILS = 4000,
    MONITORS = 800,
    NAMES = 5,
    TAGS = 3,
    HELD = 4,
    TEXT_MAGIC = 0x52555321,
};

enum trap { NEVER_TRAPS, ALWAYS_TRAPS, SOMETIMES_TRAPS };

/* Why an actor may end. */
enum {
    BY_ITSELF = 1 << 0,
    BY_KILL = 1 << 1,
    BY_SIGNAL = 1 << 2,
    BY_LINK = 1 << 3,
    BY_OVERFLOW = 1 << 4,
};

struct actor {
    unsigned index;
    rusm_pid pid; /* 0: not known yet */
    bool born;    /* the spawn succeeded */
    bool dropped;
    bool is_fiber;
    bool started;
    bool resting; /* does nothing any more but answer */
    bool in_step;
    bool told_kill; /* a kill of it has returned true */
    bool must_die;  /* an exit signal that it cannot survive was accepted */
    enum trap trap;
    unsigned causes;
    uint32_t cap; /* of its mailbox; 0: large */
    uint32_t cap_bytes;
    rusm_mailbox_policy policy;
    unsigned parked; /* the mail that waits for room elsewhere; 0 = none */
    unsigned budget;
    unsigned unwinds;
    uint64_t wake_ns; /* asked for; 0 = nothing */
    uint64_t last_step_ns;
    unsigned names, tags; /* held now; ever */
    unsigned names_ever, tags_ever;
    rusm_msg *held[HELD]; /* calls that it will answer later */
    /* How it ended, as the first who was told heard it. */
    bool end_known;
    rusm_exit_kind end_kind;
    char end_text[24];
};

enum mail_kind { PLAIN, PICKED, LANES, TIMED = LANES, CALL, REPLY };
enum mail_state {
    SENDING,
    PARKED, /* waits for room; accepted or taken back once its sender asks */
    ACCEPTED,
    REFUSED,
};

struct mail {
    enum mail_kind kind;
    enum mail_state state;
    unsigned from, to;
    uint32_t bytes;
    bool received;
    bool stashed;
    bool cancelled;
    bool lost;         /* displaced by newer ones */
    bool armed;        /* a timer's id is there */
    unsigned previous; /* of the same sender, receiver and kind; 0 = none */
    unsigned call;     /* of a reply: what it answers */
    uint64_t deadline_ns;
    rusm_timer timer;
};

struct watch {
    unsigned watcher, target;
    uint64_t ref;
    bool at_spawn;
    bool active;
    unsigned downs;
};

struct model {
    rusm_runtime *rt;
    bool stopping;
    uint32_t max_processes;
    uint32_t starving; /* one operation in so many finds no memory somewhere; 0 = none */
    /* The mood of this run: percent of violent operations that are done, of small mailboxes; how
     * many of the latest actors most operations are about. */
    uint32_t violence, tightness, circle;
    unsigned tag_kills[TAGS];                      /* that are going on */
    unsigned naming[NAMES];                        /* spawns with this name that are going on */
    unsigned actor_count, mail_count, watch_count; /* mails from 1 */
    struct actor actors[ACTORS];
    struct mail mails[MAILS];
    struct watch watches[MONITORS];
    unsigned last_mail[SENDERS][ACTORS][LANES];
    uint8_t link_calls[ACTORS][ACTORS], unlink_calls[ACTORS][ACTORS];
    /* Unlinked, with nothing of it in the mailbox: no exit signal comes over that link any more. */
    bool parted[ACTORS][ACTORS];
    uint8_t exit_calls[ACTORS][ACTORS], exits[ACTORS][ACTORS];
    uint64_t spawned, dropped, refused, received;
};

extern struct model model;

/* What a message of the workload carries. */
struct text {
    uint32_t magic;
    uint32_t mail;
};

struct actor *model_actor_of(rusm_pid pid); /* NULL: nobody */
/* 0 when the table is full: then nothing is sent. */
unsigned model_mail_new(enum mail_kind kind, unsigned from, unsigned to);
/* A send begins; what it answered. */
void model_mail_sending(unsigned mail);
void model_mail_sent(unsigned mail, int status);
/* A message came; returns its number. */
unsigned model_mail_received(struct actor *self, rusm_msg *msg);
void model_notice_received(struct actor *self, rusm_msg *msg);
struct watch *model_watch_new(unsigned watcher, unsigned target); /* NULL: table full */
void model_actor_dropped(struct actor *actor);
void model_step_begins(struct actor *actor, rusm_proc *self);

/* Quiet: nothing can happen any more. */
void check_quiet(void);
/* The runtime is gone. */
void check_over(void);

#endif
