/* SPDX-License-Identifier: MIT */
/* Runs programs of processes on the public API and prints what each process observed:
 *
 *     oracle FILE
 *
 * Every process of every program is a fiber that interprets its script; all programs run at the
 * same time. They are over when every process has ended or waits without a deadline and all
 * schedulers sleep (test/quiet.h). Programs that do not come to rest are printed as unsettled.
 *
 * Roots wait for a start message, which they get when all of them are known. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rusm/error.h"
#include "rusm/fiber.h"
#include "rusm/process.h"
#include "rusm/runtime.h"

#include "program.h"
#include "quiet.h"

enum {
    SCHEDULERS = 4,
    LINE_BYTES = 64,
    POLL_NS = 2000000,
    PAUSE_NS = 50000,
    PATIENCE_S = 60,
    ANYBODY = -1,
};

/* States of an actor; BLOCKED + n waits without a deadline in operation n. */
enum { UNBORN, RUNNING, DEAD, BLOCKED };

#define START "%start"

struct payload {
    char tag[WORD_BYTES];
    unsigned from;
};

struct actor {
    struct run *run;
    const struct script *script;
    unsigned index;
    rusm_proc *self;
    uint64_t refs[MAX_MONITORS];
    _Atomic rusm_pid pid;
    _Atomic unsigned state;
    _Atomic unsigned line_count;     /* release: publishes the line */
    char lines[MAX_OPS][LINE_BYTES]; /* at most one observation an operation */
};

struct run {
    const struct program *program;
    rusm_runtime *rt;
    struct actor actors[MAX_ACTORS];
    bool is_settled;
};

static void die(const char *what, int status) {
    fprintf(stderr, "oracle: %s: %s\n", what, rusm_error_text(status));
    exit(2);
}

static void must(const char *what, int status) {
    if (status) {
        die(what, status);
    }
}

/* ---- what an actor sees ---- */

__attribute__((format(printf, 2, 3))) static void observe(struct actor *actor, const char *format,
                                                          ...) {
    unsigned count = atomic_load_explicit(&actor->line_count, memory_order_relaxed);
    if (count == MAX_OPS) {
        die("too many observations", RUSM_ELIMIT);
    }
    va_list args;
    va_start(args, format);
    vsnprintf(actor->lines[count], LINE_BYTES, format, args);
    va_end(args);
    atomic_store_explicit(&actor->line_count, count + 1, memory_order_release);
}

static rusm_pid pid_of(struct run *run, unsigned index) {
    return atomic_load_explicit(&run->actors[index].pid, memory_order_acquire);
}

static int index_of(struct run *run, rusm_pid pid) {
    for (unsigned i = 0; i < run->program->count; i++) {
        if (pid_of(run, i) == pid) {
            return (int)i;
        }
    }
    return ANYBODY;
}

static int monitor_of(const struct actor *actor, uint64_t ref) {
    for (int i = 0; i < MAX_MONITORS; i++) {
        if (actor->refs[i] == ref) {
            return i;
        }
    }
    return ANYBODY;
}

static void observe_mail(struct actor *actor, rusm_msg *msg) {
    struct run *run = actor->run;
    int from = index_of(run, rusm_msg_from(msg));
    const char *kind = rusm_exit_kind_name(rusm_msg_exit_kind(msg));
    const char *text = (const char *)rusm_msg_data(msg);
    int len = (int)rusm_msg_len(msg);
    const char *colon = len ? ":" : "";
    const struct payload *payload = (const struct payload *)rusm_msg_data(msg);
    switch (rusm_msg_get_kind(msg)) {
    case RUSM_MSG_DATA:
        observe(actor, "msg %s %u%s", payload->tag, payload->from,
                (int)payload->from == from ? "" : " from somebody else");
        break;
    case RUSM_MSG_DOWN:
        observe(actor, "down %d %d %s%s%.*s", from, monitor_of(actor, rusm_msg_ref(msg)), kind,
                colon, len, text);
        break;
    default:
        observe(actor, "exit %d %s%s%.*s", from, kind, colon, len, text);
        break;
    }
    rusm_msg_free(msg);
}

/* ---- operations: false ends the actor ---- */

static unsigned number(const char *word, unsigned limit) {
    unsigned long value = strtoul(word, NULL, 10);
    if (value >= limit) {
        die(word, RUSM_EINVAL);
    }
    return (unsigned)value;
}

static bool nothing_matches(rusm_msg *msg, void *arg) {
    (void)msg;
    (void)arg;
    return false;
}

/* Take in what has arrived; false if that ends the actor. */
static bool look(struct actor *actor) {
    rusm_msg *msg;
    return rusm_receive_match(actor->self, nothing_matches, NULL, 0, &msg) != RUSM_EEXITING;
}

static bool has_tag(rusm_msg *msg, void *arg) {
    return rusm_msg_get_kind(msg) == RUSM_MSG_DATA &&
           strcmp(((struct payload *)rusm_msg_data(msg))->tag, arg) == 0;
}

static bool is_notice(rusm_msg *msg, void *arg) {
    (void)arg;
    return rusm_msg_get_kind(msg) != RUSM_MSG_DATA;
}

static int send_to(rusm_runtime *rt, rusm_pid to, unsigned from, const char *tag) {
    struct payload payload = {.from = from};
    strcpy(payload.tag, tag);
    rusm_msg *msg;
    must("message", rusm_msg_copy(&payload, sizeof(payload), &msg));
    int status = rusm_msg_send(rt, to, msg);
    if (status) {
        rusm_msg_free(msg);
    }
    return status;
}

/* The dead take no messages, and nobody is told: as in Erlang. */
static void send_or_drop(struct actor *actor, rusm_pid to, const char *tag) {
    int status = send_to(actor->run->rt, to, actor->index, tag);
    if (status && status != RUSM_ENOPROC) {
        die("send", status);
    }
}

/* The pid of an actor, or 0 and an observation. */
static rusm_pid target_of(struct actor *actor, const struct op *op) {
    unsigned index = number(op->words[0], actor->run->program->count);
    rusm_pid pid = pid_of(actor->run, index);
    if (!pid) {
        observe(actor, "unknown");
    }
    return pid;
}

static void full_name(const struct actor *actor, const char *name, char out[LINE_BYTES]) {
    snprintf(out, LINE_BYTES, "%u/%s", actor->run->program->id, name);
}

static void start_actor(struct actor *actor, uint32_t flags, uint64_t *out_monitor);

static bool op_spawn(struct actor *actor, const struct op *op) {
    struct actor *child = &actor->run->actors[number(op->words[0], actor->run->program->count)];
    uint64_t *out_monitor = NULL;
    if (strcmp(op->words[1], "monitor") == 0) {
        out_monitor = &actor->refs[number(op->words[2], MAX_MONITORS)];
    }
    start_actor(child, strcmp(op->words[1], "link") == 0 ? RUSM_SPAWN_LINK : 0, out_monitor);
    return true;
}

static bool op_send(struct actor *actor, const struct op *op) {
    rusm_pid pid = target_of(actor, op);
    if (pid) {
        send_or_drop(actor, pid, op->words[1]);
    }
    return true;
}

static bool op_sendname(struct actor *actor, const struct op *op) {
    char name[LINE_BYTES];
    full_name(actor, op->words[0], name);
    rusm_pid pid = rusm_name_whereis(actor->run->rt, name, strlen(name));
    if (pid) {
        send_or_drop(actor, pid, op->words[1]);
    }
    observe(actor, pid ? "ok" : "noname");
    return true;
}

/* Wait, or only look if the operation says 0 behind its last word. */
static bool receive(struct actor *actor, const struct op *op, const char *patience,
                    bool (*match)(rusm_msg *, void *), char *tag) {
    bool is_poll = strcmp(patience, "0") == 0;
    rusm_msg *msg;
    if (!is_poll) {
        unsigned place = (unsigned)(op - actor->script->ops);
        atomic_store_explicit(&actor->state, BLOCKED + place, memory_order_release);
    }
    uint64_t deadline_ns = is_poll ? 0 : RUSM_FOREVER;
    int status = match ? rusm_receive_match(actor->self, match, tag, deadline_ns, &msg)
                       : rusm_receive(actor->self, deadline_ns, &msg);
    if (status == RUSM_EEXITING) {
        return false;
    }
    atomic_store_explicit(&actor->state, RUNNING, memory_order_release);
    if (status == RUSM_ETIMEDOUT) {
        observe(actor, "timeout");
        return true;
    }
    must("receive", status);
    observe_mail(actor, msg);
    return true;
}

static bool op_recv(struct actor *actor, const struct op *op) {
    char tag[WORD_BYTES];
    memcpy(tag, op->words[0], WORD_BYTES);
    return receive(actor, op, op->words[1], has_tag, tag);
}

static bool op_recvany(struct actor *actor, const struct op *op) {
    return receive(actor, op, op->words[0], NULL, NULL);
}

static bool op_recvsig(struct actor *actor, const struct op *op) {
    return receive(actor, op, op->words[0], is_notice, NULL);
}

static bool op_link(struct actor *actor, const struct op *op) {
    rusm_pid pid = target_of(actor, op);
    if (pid) {
        must("link", rusm_proc_link(actor->self, pid));
    }
    return true;
}

static bool op_unlink(struct actor *actor, const struct op *op) {
    rusm_pid pid = target_of(actor, op);
    if (pid) {
        rusm_proc_unlink(actor->self, pid);
    }
    return true;
}

static bool op_monitor(struct actor *actor, const struct op *op) {
    rusm_pid pid = target_of(actor, op);
    if (pid) {
        uint64_t *ref = &actor->refs[number(op->words[1], MAX_MONITORS)];
        must("monitor", rusm_proc_monitor(actor->self, pid, ref));
    }
    return true;
}

static bool op_demonitor(struct actor *actor, const struct op *op) {
    uint64_t ref = actor->refs[number(op->words[0], MAX_MONITORS)];
    if (ref) {
        rusm_proc_demonitor(actor->self, ref);
    }
    return true;
}

static bool op_trap(struct actor *actor, const struct op *op) {
    rusm_proc_trap_exit(actor->self, strcmp(op->words[0], "on") == 0);
    return true;
}

static rusm_exit_kind reason_of(const char *word, const char **out_text) {
    const char *colon = strchr(word, ':');
    *out_text = colon ? colon + 1 : NULL;
    for (rusm_exit_kind kind = RUSM_EXIT_NORMAL; kind <= RUSM_EXIT_NOPROC; kind++) {
        const char *name = rusm_exit_kind_name(kind);
        if (strncmp(word, name, strlen(name)) == 0) {
            return kind;
        }
    }
    die(word, RUSM_EINVAL);
    return RUSM_EXIT_NORMAL;
}

static bool op_exitself(struct actor *actor, const struct op *op) {
    const char *text;
    rusm_exit_kind kind = reason_of(op->words[0], &text);
    rusm_proc_set_exit(actor->self, kind, text);
    return false;
}

/* What a process sends to itself has arrived when the call returns: as in Erlang. */
static bool after_signal_to(struct actor *actor, rusm_pid pid) {
    return pid != rusm_proc_pid(actor->self) || look(actor);
}

static bool op_exit(struct actor *actor, const struct op *op) {
    rusm_pid pid = target_of(actor, op);
    if (!pid) {
        return true;
    }
    const char *text;
    rusm_exit_kind kind = reason_of(op->words[1], &text);
    int status = rusm_pid_exit(actor->run->rt, pid, kind, text);
    if (status && status != RUSM_ENOPROC) {
        die("exit", status);
    }
    return after_signal_to(actor, pid);
}

static bool op_kill(struct actor *actor, const struct op *op) {
    rusm_pid pid = target_of(actor, op);
    if (!pid) {
        return true;
    }
    rusm_pid_kill(actor->run->rt, pid);
    return after_signal_to(actor, pid);
}

static bool op_register(struct actor *actor, const struct op *op) {
    char name[LINE_BYTES];
    full_name(actor, op->words[0], name);
    int status = rusm_proc_register(actor->self, name, strlen(name));
    observe(actor, "%s", status ? rusm_error_name(status) : "ok");
    return true;
}

static bool op_unregister(struct actor *actor, const struct op *op) {
    char name[LINE_BYTES];
    full_name(actor, op->words[0], name);
    int status = rusm_proc_unregister(actor->self, name, strlen(name));
    observe(actor, "%s", status ? rusm_error_name(status) : "ok");
    return true;
}

static bool op_whereis(struct actor *actor, const struct op *op) {
    char name[LINE_BYTES];
    full_name(actor, op->words[0], name);
    rusm_pid pid = rusm_name_whereis(actor->run->rt, name, strlen(name));
    observe(actor, "at %d", pid ? index_of(actor->run, pid) : ANYBODY);
    return true;
}

static bool op_alive(struct actor *actor, const struct op *op) {
    rusm_pid pid = target_of(actor, op);
    if (pid) {
        observe(actor, rusm_pid_is_alive(actor->run->rt, pid) ? "yes" : "no");
    }
    return true;
}

static bool op_pause(struct actor *actor, const struct op *op) {
    (void)op;
    return rusm_sleep_until(actor->self, rusm_now_ns() + PAUSE_NS) != RUSM_EEXITING;
}

static const struct verb {
    const char *name;
    bool (*run)(struct actor *actor, const struct op *op);
} verbs[] = {
    {"spawn", op_spawn},         {"send", op_send},       {"sendname", op_sendname},
    {"recv", op_recv},           {"recvany", op_recvany}, {"recvsig", op_recvsig},
    {"link", op_link},           {"unlink", op_unlink},   {"monitor", op_monitor},
    {"demonitor", op_demonitor}, {"trap", op_trap},       {"exitself", op_exitself},
    {"crash", op_exitself},      {"exit", op_exit},       {"kill", op_kill},
    {"register", op_register},   {"whereis", op_whereis}, {"unregister", op_unregister},
    {"alive", op_alive},         {"pause", op_pause},
};

static bool run_op(struct actor *actor, const struct op *op) {
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(op->verb, verbs[i].name) == 0) {
            return verbs[i].run(actor, op);
        }
    }
    die(op->verb, RUSM_ENOTSUP);
    return false;
}

/* ---- a life ---- */

static bool wait_for_start(struct actor *actor) {
    char tag[] = START;
    rusm_msg *msg;
    int status = rusm_receive_match(actor->self, has_tag, tag, RUSM_FOREVER, &msg);
    if (status == RUSM_OK) {
        rusm_msg_free(msg);
    }
    return status == RUSM_OK;
}

static void actor_main(rusm_proc *self, void *arg) {
    struct actor *actor = arg;
    actor->self = self;
    atomic_store_explicit(&actor->pid, rusm_proc_pid(self), memory_order_release);
    if (actor->script->is_root && !wait_for_start(actor)) {
        return;
    }
    const struct script *script = actor->script;
    for (unsigned i = 0; i < script->op_count; i++) {
        if ((!script->is_lazy && !look(actor)) || !run_op(actor, &script->ops[i])) {
            return;
        }
    }
}

static void actor_drop(void *arg) {
    struct actor *actor = arg;
    atomic_store_explicit(&actor->state, DEAD, memory_order_release);
}

static void start_actor(struct actor *actor, uint32_t flags, uint64_t *out_monitor) {
    if (atomic_load_explicit(&actor->state, memory_order_relaxed) != UNBORN) {
        die("a process is started twice", RUSM_ESTATE);
    }
    atomic_store_explicit(&actor->state, RUNNING, memory_order_release);
    rusm_fiber_options options = {.size = sizeof(options),
                                  .main = actor_main,
                                  .arg = actor,
                                  .drop = actor_drop,
                                  .spawn = {.flags = flags, .out_monitor = out_monitor}};
    rusm_pid pid;
    int status = rusm_fiber_spawn(actor->run->rt, &options, &pid);
    /* The runtime stops, after all is printed: it kills one after the other, and who is told of
     * that before its turn goes on. (Before, the child would count as running and never settle.) */
    if (status == RUSM_ESTATE) {
        return;
    }
    must("spawn", status);
    atomic_store_explicit(&actor->pid, pid, memory_order_release);
}

/* Roots know each other before the first of them starts. */
static void start_roots(struct run *run) {
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < run->program->count; i++) {
            if (!run->program->scripts[i].is_root) {
                continue;
            }
            if (pass == 0) {
                start_actor(&run->actors[i], 0, NULL);
            } else if (send_to(run->rt, pid_of(run, i), 0, START) == RUSM_EFULL) {
                die("start", RUSM_EFULL);
            }
        }
    }
}

static void init_run(struct run *run, rusm_runtime *rt, const struct program *program) {
    run->program = program;
    run->rt = rt;
    for (unsigned i = 0; i < program->count; i++) {
        run->actors[i].run = run;
        run->actors[i].script = &program->scripts[i];
        run->actors[i].index = i;
    }
}

/* ---- the end of all ---- */

static unsigned state_of(const struct actor *actor) {
    return atomic_load_explicit(&actor->state, memory_order_acquire);
}

/* No actor does anything or sleeps until some time. */
static bool is_at_rest(const struct run *run) {
    for (unsigned i = 0; i < run->program->count; i++) {
        if (state_of(&run->actors[i]) == RUNNING) {
            return false;
        }
    }
    return true;
}

static bool all_at_rest(struct run *runs, size_t count) {
    bool all = true;
    for (size_t i = 0; i < count; i++) {
        runs[i].is_settled = is_at_rest(&runs[i]);
        all = all && runs[i].is_settled;
    }
    return all;
}

/* Actors that rest can be woken by what is on its way to them. If all schedulers slept before we
 * looked, nothing was on its way, and nobody but us begins anything any more. */
static void settle(struct run *runs, size_t count) {
    uint64_t give_up_ns = rusm_now_ns() + PATIENCE_S * 1000000000ull;
    bool quiet;
    do {
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
        quiet = quiet_since_last_call();
    } while (!(all_at_rest(runs, count) && quiet) && rusm_now_ns() < give_up_ns);
    for (size_t i = 0; i < count; i++) {
        runs[i].is_settled = runs[i].is_settled && quiet;
    }
}

static void print_actor(const struct actor *actor) {
    unsigned state = state_of(actor);
    unsigned count = atomic_load_explicit(&actor->line_count, memory_order_acquire);
    if (state >= BLOCKED) {
        printf("proc %u blocked %u\n", actor->index, state - BLOCKED);
    } else {
        printf("proc %u %s\n", actor->index, state == UNBORN ? "unborn" : "gone");
    }
    for (unsigned i = 0; i < count; i++) {
        printf("%s\n", actor->lines[i]);
    }
}

/* While the runtime still runs: its end would end those that wait. */
static void print_run(const struct run *run) {
    printf("program %u %s\n", run->program->id, run->is_settled ? "settled" : "unsettled");
    for (unsigned i = 0; i < run->program->count; i++) {
        print_actor(&run->actors[i]);
    }
}

static void run_all(const struct program *programs, size_t count) {
    rusm_runtime_options options = {.size = sizeof(options), .schedulers = SCHEDULERS};
    rusm_runtime *rt;
    must("start", rusm_runtime_start(&options, &rt));
    struct run *runs = calloc(count, sizeof(struct run));
    if (!runs) {
        die("runs", RUSM_ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        init_run(&runs[i], rt, &programs[i]);
        start_roots(&runs[i]);
    }
    settle(runs, count);
    for (size_t i = 0; i < count; i++) {
        print_run(&runs[i]);
    }
    rusm_runtime_stop(rt);
    free(runs);
}

int main(int argc, char **argv) {
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!file) {
        fprintf(stderr, "usage: oracle FILE\n");
        return 2;
    }
    struct program *programs;
    size_t count = programs_read(file, &programs);
    fclose(file);
    if (count) {
        run_all(programs, count);
    }
    free(programs);
    return count ? 0 : 2;
}
