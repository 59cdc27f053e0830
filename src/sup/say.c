/* SPDX-License-Identifier: MIT */
/* What a supervisor writes to the log: who is its name, the verb is `sup`. */
#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/log.h"
#include "sup/sup_impl.h"

enum { TEXT_MAX_BYTES = 200 };

static const char *word_of(const struct rusm__why *why) {
    return why->code ? rusm_error_text(why->code) : rusm_exit_kind_name(why->kind);
}

/* The first line of the reason's text, as much as a log line can bear. */
static int text_bytes(const struct rusm__why *why) {
    size_t len = why->len < TEXT_MAX_BYTES ? why->len : TEXT_MAX_BYTES;
    const char *end = len ? memchr(why->text, '\n', len) : NULL;
    return (int)(end ? (size_t)(end - why->text) : len);
}

struct phrase {
    char text[48];
};

/* "5 s", "250 ms" */
static struct phrase time_phrase(uint64_t ns) {
    struct phrase phrase;
    bool seconds = ns >= RUSM__SECOND && ns % RUSM__SECOND == 0;
    snprintf(phrase.text, sizeof(phrase.text), "%llu %s",
             (unsigned long long)(seconds ? ns / RUSM__SECOND : ns / RUSM__MS),
             seconds ? "s" : "ms");
    return phrase;
}

/* " in 5 s", or nothing if the budget is for the whole life. */
static struct phrase window_phrase(const struct rusm__budget *budget) {
    struct phrase phrase = {""};
    if (budget->within_ns != UINT64_MAX)
        snprintf(phrase.text, sizeof(phrase.text), " in %.40s",
                 time_phrase(budget->within_ns).text);
    return phrase;
}

/* "2 of 3 in 5 s", by the budget that is nearer to the child. */
static struct phrase count_phrase(const rusm_supervisor *sup, const struct rusm__child *child) {
    struct phrase phrase;
    const struct rusm__budget *budget = child->own ? child->own : sup->budget;
    if (budget->max_restarts == RUSM_RESTARTS_UNLIMITED)
        snprintf(phrase.text, sizeof(phrase.text), "%llu, without limit",
                 (unsigned long long)child->restarts + 1);
    else
        snprintf(phrase.text, sizeof(phrase.text), "%u of %u%.20s", budget->count,
                 budget->max_restarts, window_phrase(budget).text);
    return phrase;
}

static const char *company(const rusm_supervisor *sup) {
    switch (sup->strategy) {
    case RUSM_ONE_FOR_ALL:
        return " of all";
    case RUSM_REST_FOR_ONE:
        return " with those after it";
    case RUSM_ONE_FOR_ONE:
        break;
    }
    return "";
}

/* " (text)", or nothing. */
#define WHY_FORMAT "%s%.*s%s"
#define WHY_ARGS(why)                                                                              \
    text_bytes(why) ? " (" : "", text_bytes(why), (why)->text ? (why)->text : "",                  \
        text_bytes(why) ? ")" : ""

void rusm__say_restart(const rusm_supervisor *sup, const struct rusm__child *child,
                       const struct rusm__why *why, uint64_t delay_ns) {
    if (rusm__log_wants(RUSM__LOG_WARN))
        rusm__log(RUSM__LOG_WARN, sup->name, "sup", "%s %s; restart%s %s, after %s" WHY_FORMAT,
                  child->id, word_of(why), company(sup), count_phrase(sup, child).text,
                  time_phrase(delay_ns).text, WHY_ARGS(why));
}

void rusm__say_give_up(const rusm_supervisor *sup, const struct rusm__child *child,
                       const struct rusm__why *why) {
    const struct rusm__budget *own = child->own;
    bool by_own = own && own->count == own->max_restarts;
    const struct rusm__budget *budget = by_own ? own : sup->budget;
    rusm__log(RUSM__LOG_ERROR, sup->name, "sup", "%s %s; %sgiven up after %u restarts%s" WHY_FORMAT,
              child->id, word_of(why), by_own ? "" : "all ", budget->count,
              window_phrase(budget).text, WHY_ARGS(why));
}

void rusm__say_no_start(const rusm_supervisor *sup, const struct rusm__child *child, int code) {
    rusm__log(RUSM__LOG_ERROR, sup->name, "sup", "%s could not be started: %s", child->id,
              rusm_error_text(code));
}

void rusm__say_killed(const rusm_supervisor *sup, const struct rusm__child *child) {
    rusm__log(RUSM__LOG_WARN, sup->name, "sup", "%s did not end within %s; killed", child->id,
              time_phrase(child->grace_ns).text);
}
