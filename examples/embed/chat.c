/* SPDX-License-Identifier: MIT */
/* A chat room and three members who talk in turn.
 *
 * Shows the blocking style: each process is a C function on a small stack of its own (a fiber) that
 * waits where it stands. The room has a name, by which members find it; they join with a call,
 * which is answered; the room watches them, so it learns when one is gone, however that happened.
 */
#include <rusm/rusm.h>

#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMBERS = 3 };

static const char room_name[] = "lobby";

struct member {
    const char *name;
    const char *line;
    unsigned turn; /* speaks after that many lines of others */
};

static struct member members[MEMBERS] = {
    {"ann", "is anybody here?", 0},
    {"bob", "me", 1},
    {"cyd", "and me", 2},
};
static sem_t room_closed;

static void check(int code, const char *what) {
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", what, rusm_error_text(code));
        exit(EXIT_FAILURE);
    }
}

static void start(rusm_runtime *runtime, rusm_fiber_options options) {
    rusm_pid pid;
    options.size = sizeof options;
    check(rusm_fiber_spawn(runtime, &options, &pid), "spawn");
}

/* ---- a member ---- */

static void say(rusm_proc *self, rusm_pid room, const struct member *member) {
    char text[100];
    int len = snprintf(text, sizeof text, "%s: %s", member->name, member->line);
    rusm_msg *msg;
    check(rusm_msg_copy(text, (size_t)len, &msg), "message");
    if (rusm_msg_send(rusm_proc_runtime(self), room, msg) < 0)
        rusm_msg_free(msg);
}

static rusm_pid enter(rusm_proc *self, const struct member *member) {
    rusm_pid room = rusm_name_whereis(rusm_proc_runtime(self), room_name, strlen(room_name));
    rusm_msg *request, *reply;
    check(rusm_msg_copy(member->name, strlen(member->name), &request), "message");
    int code = rusm_call(self, room, &request, rusm_now_ns() + 10000000000u, &reply);
    check(code, "join");
    rusm_msg_free(reply);
    return room;
}

/* Hears the opening and everybody's line, its own too, and goes. */
static void member_main(rusm_proc *self, void *arg) {
    const struct member *member = arg;
    rusm_pid room = enter(self, member);
    for (unsigned heard = 0; heard <= MEMBERS; heard++) {
        rusm_msg *line;
        if (rusm_receive(self, RUSM_FOREVER, &line) < 0)
            return;
        rusm_msg_free(line);
        if (heard == member->turn)
            say(self, room, member);
    }
}

/* ---- the room ---- */

struct room {
    rusm_pid present[MEMBERS];
    unsigned joined;
    unsigned left;
};

static void tell_all(rusm_runtime *runtime, const struct room *room, const void *text, size_t len) {
    for (unsigned i = 0; i < room->joined; i++) {
        rusm_msg *copy;
        check(rusm_msg_copy(text, len, &copy), "message");
        if (rusm_msg_send(runtime, room->present[i], copy) < 0)
            rusm_msg_free(copy); /* has left, or does not read its mail */
    }
}

static void answer(rusm_runtime *runtime, rusm_msg *call) {
    rusm_msg *reply;
    check(rusm_msg_copy("welcome", 7, &reply), "message");
    if (rusm_reply(runtime, call, reply) < 0)
        rusm_msg_free(reply);
}

static void take(rusm_proc *self, struct room *room, rusm_msg *msg) {
    rusm_runtime *runtime = rusm_proc_runtime(self);
    int len = (int)rusm_msg_len(msg);
    const char *text = (const char *)rusm_msg_data(msg);
    if (rusm_msg_get_kind(msg) == RUSM_MSG_DOWN) {
        room->left++;
    } else if (rusm_msg_is_call(msg)) {
        printf("%.*s joins\n", len, text);
        room->present[room->joined++] = rusm_msg_from(msg);
        answer(runtime, msg);
    } else {
        printf("%.*s\n", len, text);
        tell_all(runtime, room, text, (size_t)len);
    }
}

/* False: the room is to close. */
static bool take_next(rusm_proc *self, struct room *room) {
    rusm_msg *msg;
    if (rusm_receive(self, RUSM_FOREVER, &msg) < 0)
        return false;
    take(self, room, msg);
    rusm_msg_free(msg);
    return true;
}

/* One after another, so that they join in this order. */
static bool invite(rusm_proc *self, struct room *room) {
    for (unsigned i = 0; i < MEMBERS; i++) {
        start(rusm_proc_runtime(self),
              (rusm_fiber_options){.main = member_main,
                                   .arg = &members[i],
                                   .spawn = {.size = sizeof(rusm_spawn_options),
                                             .monitor_by = rusm_proc_pid(self),
                                             .monitor_ref = i + 1}});
        if (!take_next(self, room))
            return false;
    }
    return true;
}

static void room_main(rusm_proc *self, void *arg) {
    (void)arg;
    struct room room = {.joined = 0};
    check(rusm_proc_register(self, room_name, strlen(room_name)), "register");
    if (!invite(self, &room))
        return;
    tell_all(rusm_proc_runtime(self), &room, "", 0); /* the empty line opens the talk */
    while (room.left < MEMBERS) {
        if (!take_next(self, &room))
            return;
    }
    printf("the room is empty\n");
}

static void room_drop(void *arg) {
    (void)arg;
    sem_post(&room_closed);
}

int main(void) {
    rusm_runtime *runtime;
    sem_init(&room_closed, 0, 0);
    check(rusm_runtime_start(NULL, &runtime), "start");
    start(runtime, (rusm_fiber_options){.main = room_main, .drop = room_drop});
    sem_wait(&room_closed);
    rusm_runtime_stop(runtime);
    sem_destroy(&room_closed);
    return EXIT_SUCCESS;
}
