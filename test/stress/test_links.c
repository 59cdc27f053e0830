/* SPDX-License-Identifier: MIT */
/* Links that cross: trapping processes link, unlink, exit and are replaced, from all schedulers and
 * from outside. When everything rests, each process says to whom it is linked: links are mutual and
 * lead to the living only. The oracle does not see links that both sides lost; unit tests do. */
#include "stress.h"

#include "proc/proc_impl.h"

enum { PLACES = 60, PEERS = PLACES };

static rusm_runtime *rt;
static uint64_t end_ns;
static _Atomic rusm_pid places[PLACES];
static _Atomic uint64_t linked, unlinked, exits, wrong, seeds;
static _Atomic uint64_t to_the_gone; /* seen in reports; counts in the last round only */

struct report {
    rusm_pid pid;
    rusm_pid peers[PEERS];
    unsigned count;
};

static pthread_mutex_t reports_lock = PTHREAD_MUTEX_INITIALIZER;
static struct report reports[PLACES];
static unsigned report_count;
static unsigned report_round; /* reports of earlier rounds may still come: they do not count */

struct knot {
    struct rusm__random random;
    uint32_t place;
    bool traps;
};

/* In the process, so that nothing of it changes meanwhile. */
static void report_links(rusm_proc *self, unsigned round) {
    struct rusm__extra *extra = atomic_load(&self->extra);
    pthread_mutex_lock(&reports_lock);
    if (round != report_round) {
        pthread_mutex_unlock(&reports_lock);
        return;
    }
    struct report *report = &reports[report_count++ % PLACES];
    *report = (struct report){.pid = rusm_proc_pid(self)};
    for (unsigned i = 0; i < PLACES && extra; i++) {
        rusm_pid peer = atomic_load(&places[i]);
        if (rusm__records_find(&extra->links, peer)) {
            report->peers[report->count++] = peer;
        }
    }
    if (extra && atomic_load(&extra->links.count) != report->count) {
        atomic_fetch_add(&to_the_gone, 1); /* linked to somebody who is not in a place */
    }
    pthread_mutex_unlock(&reports_lock);
}

static bool start_knot(uint32_t place);

static void receive_all(rusm_proc *self) {
    rusm_msg *msg;
    while ((msg = rusm_proc_receive(self)) != NULL) {
        if (rusm_msg_get_kind(msg) == RUSM_MSG_EXIT) {
            atomic_fetch_add(&exits, 1);
        } else if (rusm_msg_get_kind(msg) == RUSM_MSG_DATA) {
            unsigned round;
            memcpy(&round, rusm_msg_data(msg), sizeof(round));
            report_links(self, round);
        } else {
            atomic_fetch_add(&wrong, 1);
        }
        rusm_msg_free(msg);
    }
}

static rusm_step tie(rusm_proc *self, void *body) {
    struct knot *knot = body;
    if (!knot->traps) { /* known to others only now: a signal before this would end it */
        rusm_proc_trap_exit(self, true);
        knot->traps = true;
        atomic_store(&places[knot->place], rusm_proc_pid(self));
    }
    receive_all(self);
    if (rusm_now_ns() >= end_ns) {
        return RUSM_STEP_WAIT;
    }
    for (uint32_t n = rusm__random_below(&knot->random, 5); n > 0; n--) {
        rusm_pid peer = atomic_load(&places[rusm__random_below(&knot->random, PLACES)]);
        if (rusm__random_below(&knot->random, 2)) {
            atomic_fetch_add(&wrong, rusm_proc_link(self, peer) != RUSM_OK);
            atomic_fetch_add(&linked, 1);
        } else {
            rusm_proc_unlink(self, peer);
            atomic_fetch_add(&unlinked, 1);
        }
    }
    if (rusm__random_below(&knot->random, 200) == 0) {
        atomic_fetch_add(&wrong, !start_knot(knot->place));
        rusm_proc_set_exit(self, RUSM_EXIT_CRASHED, "untied");
        return RUSM_STEP_EXIT;
    }
    return RUSM_STEP_AGAIN;
}

static void free_knot(void *body) {
    free(body);
}

static bool start_knot(uint32_t place) {
    static const rusm_body_ops ops = {.name = "knot", .step = tie, .drop = free_knot};
    struct knot *knot = calloc(1, sizeof(*knot));
    knot->place = place;
    rusm__random_seed(&knot->random, atomic_fetch_add(&seeds, 1));
    rusm_spawn_options options = {.size = sizeof(options), .ops = &ops, .body = knot};
    rusm_pid pid;
    if (rusm_proc_spawn(rt, &options, &pid) != RUSM_OK) {
        free(knot);
        return false;
    }
    return true;
}

/* ---- the oracle ---- */

static bool says_linked(const struct report *report, rusm_pid peer) {
    for (unsigned i = 0; i < report->count; i++) {
        if (report->peers[i] == peer) {
            return true;
        }
    }
    return false;
}

static unsigned count_of_reports(void) {
    pthread_mutex_lock(&reports_lock);
    unsigned count = report_count;
    pthread_mutex_unlock(&reports_lock);
    return count;
}

static bool ask_all(void) {
    pthread_mutex_lock(&reports_lock);
    report_count = 0;
    unsigned round = ++report_round;
    pthread_mutex_unlock(&reports_lock);
    for (unsigned i = 0; i < PLACES; i++) {
        rusm_msg *msg;
        if (rusm_msg_copy(&round, sizeof(round), &msg) != RUSM_OK) {
            return false;
        }
        if (rusm_msg_send(rt, atomic_load(&places[i]), msg) != RUSM_OK) {
            rusm_msg_free(msg); /* replaced meanwhile: asked again in the next round */
            return false;
        }
    }
    return true;
}

static unsigned disagreements(unsigned *links) {
    unsigned found = 0;
    *links = 0;
    for (unsigned a = 0; a < PLACES; a++) {
        for (unsigned b = 0; b < PLACES; b++) {
            found += says_linked(&reports[a], reports[b].pid) !=
                     says_linked(&reports[b], reports[a].pid);
        }
        *links += reports[a].count;
    }
    return found;
}

static bool all_agree(unsigned *links) {
    atomic_store(&to_the_gone, 0);
    if (!ask_all()) {
        return false;
    }
    /* One that was about to be replaced when it was asked does not report: ask again. */
    for (unsigned waited = 0; count_of_reports() < PLACES; waited++) {
        if (waited == 1000) {
            return false;
        }
        nap_ms(1);
    }
    pthread_mutex_lock(&reports_lock);
    unsigned found = disagreements(links);
    pthread_mutex_unlock(&reports_lock);
    return found == 0 && atomic_load(&to_the_gone) == 0;
}

static void links_are_mutual_when_all_rest(void **state) {
    (void)state;
    unsigned links = 0;
    atomic_store(&seeds, stress_seed());
    rt = stress_start(0);
    end_ns = stress_end_ns();
    for (uint32_t i = 0; i < PLACES; i++) {
        assert_true(start_knot(i));
    }
    while (rusm_now_ns() < end_ns) {
        nap_ms(1);
        int status = rusm_pid_exit(rt, atomic_load(&places[rusm_now_ns() % PLACES]),
                                   RUSM_EXIT_CRASHED, "from outside");
        assert_true(status == RUSM_OK || status == RUSM_ENOPROC);
    }
    WAIT_FOR(rusm_runtime_process_count(rt) == PLACES);
    /* Signals may still be on their way; they settle in a few rounds, or the sides disagree. */
    WAIT_FOR(all_agree(&links));
    printf("linked %llu, unlinked %llu, exits %llu, in the end %u\n",
           (unsigned long long)atomic_load(&linked), (unsigned long long)atomic_load(&unlinked),
           (unsigned long long)atomic_load(&exits), links / 2);
    assert_true(atomic_load(&wrong) == 0);
    assert_true(links > 0 && atomic_load(&exits) > 0);
    assert_int_equal(rusm_runtime_stop(rt), PLACES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_are_mutual_when_all_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
