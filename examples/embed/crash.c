/* SPDX-License-Identifier: MIT */
/* A calculator that crashes on a division by zero, and a supervisor that starts it again.
 *
 * Shows a supervised child, calls to a process that may fall, a sink for the log, and an orderly
 * stop. The client does not guard against the crash: it sees that its call failed, and asks the
 * next incarnation. */
#include <rusm/rusm.h>

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char calculator_name[] = "calculator";

struct division {
    int dividend;
    int divisor;
};

static sem_t client_done;

static void check(int code, const char *what) {
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", what, rusm_error_text(code));
        exit(EXIT_FAILURE);
    }
}

/* ---- the log ---- */

/* Called by the log's own thread; a server would write each record to its journal. Kept for the
 * end here, as the lines of several threads come in no fixed order. */
static void keep_last(const rusm_log_record *record, void *arg) {
    if (strcmp(record->verb, "sup") == 0)
        snprintf(arg, 256, "%s: %s", record->who, record->text);
}

static void start_log(char last[256]) {
    rusm_log_options options = {
        .size = sizeof options, .level = RUSM_LOG_WARN, .sink = keep_last, .arg = last};
    check(rusm_log_start(&options), "log");
}

/* ---- the calculator: a fiber ---- */

static void reply_with(rusm_proc *self, rusm_msg *call, int quotient) {
    rusm_msg *reply;
    check(rusm_msg_copy(&quotient, sizeof quotient, &reply), "message");
    if (rusm_reply(rusm_proc_runtime(self), call, reply) < 0)
        rusm_msg_free(reply);
}

static void calculator_main(rusm_proc *self, void *arg) {
    (void)arg;
    check(rusm_proc_register(self, calculator_name, strlen(calculator_name)), "register");
    rusm_msg *call;
    while (rusm_receive(self, RUSM_FOREVER, &call) == RUSM_OK) {
        struct division division;
        memcpy(&division, rusm_msg_data(call), sizeof division);
        if (division.divisor == 0) {
            rusm_msg_free(call);
            rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "division by zero");
            return;
        }
        reply_with(self, call, division.dividend / division.divisor);
        rusm_msg_free(call);
    }
}

/* The supervisor calls this for each incarnation. What it needs to watch it is in `spawn`. */
static int start_calculator(rusm_proc *self, void *arg, rusm_spawn_options *spawn,
                            rusm_pid *out_pid) {
    (void)arg;
    rusm_fiber_options options = {.size = sizeof options, .main = calculator_main, .spawn = *spawn};
    return rusm_fiber_spawn(rusm_proc_runtime(self), &options, out_pid);
}

/* ---- the client: a fiber ---- */

/* A child that was just started has its name after its first step, not before. */
static rusm_pid find_calculator(rusm_proc *self) {
    rusm_pid pid;
    while (!(
        pid = rusm_name_whereis(rusm_proc_runtime(self), calculator_name, strlen(calculator_name))))
        check(rusm_sleep_until(self, rusm_now_ns() + 1000000), "sleep");
    return pid;
}

static void divide(rusm_proc *self, struct division division) {
    rusm_msg *request, *reply;
    check(rusm_msg_copy(&division, sizeof division, &request), "message");
    int code = rusm_call(self, find_calculator(self), &request, RUSM_FOREVER, &reply);
    printf("%d / %d", division.dividend, division.divisor);
    if (code < 0) {
        printf(": %s\n", rusm_error_text(code)); /* it ended before it answered */
        rusm_msg_free(request);                  /* NULL if it was sent */
        return;
    }
    int quotient;
    memcpy(&quotient, rusm_msg_data(reply), sizeof quotient);
    printf(" = %d\n", quotient);
    rusm_msg_free(reply);
}

static void client_main(rusm_proc *self, void *arg) {
    rusm_supervisor *supervisor = arg;
    divide(self, (struct division){84, 2});
    divide(self, (struct division){84, 0});
    divide(self, (struct division){84, 7});
    rusm_child_info info;
    if (rusm_supervisor_children(supervisor, &info, 1) == 1)
        printf("%s: %llu restarts\n", info.id, (unsigned long long)info.restarts);
}

static void client_drop(void *arg) {
    (void)arg;
    sem_post(&client_done);
}

/* ---- both ---- */

static rusm_supervisor *start_supervisor(rusm_runtime *runtime) {
    rusm_child calculator = {
        .size = sizeof calculator, .id = calculator_name, .start = start_calculator};
    rusm_supervisor_options options = {
        .size = sizeof options,
        .strategy = RUSM_ONE_FOR_ONE,
        .budget = {.max_restarts = 3, .within_ns = 5000000000u},
        .backoff = {.at_once = 1, .first_ns = 10000000u, .max_ns = 1000000000u},
        .children = &calculator,
        .child_count = 1,
    };
    rusm_supervisor *supervisor;
    rusm_pid pid;
    check(rusm_supervisor_start(runtime, &options, &pid, &supervisor), "supervisor");
    check(rusm_supervisor_ready(NULL, supervisor, RUSM_FOREVER), "calculator");
    return supervisor;
}

int main(void) {
    rusm_runtime *runtime;
    rusm_pid client;
    char last[256] = "";
    start_log(last);
    sem_init(&client_done, 0, 0);
    check(rusm_runtime_start(NULL, &runtime), "start");
    rusm_supervisor *supervisor = start_supervisor(runtime);
    rusm_fiber_options options = {
        .size = sizeof options, .main = client_main, .arg = supervisor, .drop = client_drop};
    check(rusm_fiber_spawn(runtime, &options, &client), "client");
    sem_wait(&client_done);
    check(rusm_supervisor_stop(NULL, supervisor, RUSM_FOREVER), "stop");
    rusm_supervisor_free(supervisor);
    rusm_runtime_stop(runtime);
    check(rusm_log_stop(), "log"); /* from here on `last` is ours again */
    printf("%s\n", last);
    sem_destroy(&client_done);
    return EXIT_SUCCESS;
}
