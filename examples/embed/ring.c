/* SPDX-License-Identifier: MIT */
/* A ring of a thousand processes that hand a token around a hundred times.
 *
 * Shows the state machine: a process is a function that is called when there is something to do. It
 * takes what is in its mailbox and returns; while it waits it costs its state and no stack. */
#include <rusm/rusm.h>

#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 1000, ROUNDS = 100 };

struct node {
    rusm_pid next;
};

static struct node nodes[NODES];
static sem_t all_gone; /* posted once by each node that ended */
static uint64_t hops;  /* written by whoever holds the token */

static void check(int code, const char *what) {
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", what, rusm_error_text(code));
        exit(EXIT_FAILURE);
    }
}

/* The token says how many hops are left. At 0 everybody ends after passing it on. */
static rusm_step pass_on(rusm_proc *self, struct node *node, rusm_msg *token) {
    uint64_t left;
    memcpy(&left, rusm_msg_data(token), sizeof left);
    int is_last = left == 0;
    if (!is_last) {
        hops++;
        left--;
        memcpy(rusm_msg_data(token), &left, sizeof left);
    }
    /* The send takes the message; if the next one has ended, it is still ours. */
    if (rusm_msg_send(rusm_proc_runtime(self), node->next, token) < 0)
        rusm_msg_free(token);
    return is_last ? RUSM_STEP_EXIT : RUSM_STEP_WAIT;
}

static rusm_step node_step(rusm_proc *self, void *body) {
    rusm_msg *token = rusm_proc_receive(self);
    return token ? pass_on(self, body, token) : RUSM_STEP_WAIT;
}

static void node_drop(void *body) {
    (void)body; /* part of an array */
    sem_post(&all_gone);
}

static const rusm_body_ops node_ops = {.name = "node", .step = node_step, .drop = node_drop};

/* From the last to the first, so that each knows its neighbour. The last one learns of the first
 * when its process is alive already, but before the token exists, whose message publishes it. */
static rusm_pid make_ring(rusm_runtime *runtime) {
    rusm_pid first = 0;
    for (int i = NODES - 1; i >= 0; i--) {
        rusm_spawn_options options = {.size = sizeof options, .ops = &node_ops, .body = &nodes[i]};
        nodes[i].next = first;
        check(rusm_proc_spawn(runtime, &options, &first), "spawn");
    }
    nodes[NODES - 1].next = first;
    return first;
}

static void send_token(rusm_runtime *runtime, rusm_pid to, uint64_t left) {
    rusm_msg *token;
    check(rusm_msg_copy(&left, sizeof left, &token), "message");
    check(rusm_msg_send(runtime, to, token), "send");
}

int main(void) {
    rusm_runtime *runtime;
    sem_init(&all_gone, 0, 0);
    check(rusm_runtime_start(NULL, &runtime), "start");
    send_token(runtime, make_ring(runtime), (uint64_t)NODES * ROUNDS);
    for (int i = 0; i < NODES; i++)
        sem_wait(&all_gone);
    rusm_runtime_stop(runtime);
    sem_destroy(&all_gone);
    printf("%d processes, %d rounds, %llu hops\n", NODES, ROUNDS, (unsigned long long)hops);
    return EXIT_SUCCESS;
}
