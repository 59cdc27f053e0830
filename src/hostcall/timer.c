/* SPDX-License-Identifier: MIT */
/* actor: timers. The core knows a timer by its own reference; a guest knows it by a handle that
 * counts from 0 per process. The table between the two holds what is armed.
 *
 * A timer that fired leaves the table by its deadline: from that moment on the table takes it as
 * gone, so nothing has to be told when it fires, and cancelling it answers false. Should the wheel
 * be a little late then, the message still comes, which is what false says. */
#include "hostcall/hostcall_impl.h"

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"

#define FIRST_CAP 8u

static bool is_armed(const struct rusm__guest_timer *timer, uint64_t now) {
    return !timer->dead && timer->deadline_ns > now;
}

/* Keep what is armed, in order. */
static void sweep(struct rusm__guest_timers *timers, uint64_t now) {
    uint32_t kept = 0;
    timers->bytes = 0;
    for (uint32_t i = 0; i < timers->count; i++) {
        if (is_armed(&timers->items[i], now)) {
            timers->bytes += timers->items[i].weight;
            timers->items[kept++] = timers->items[i];
        }
    }
    timers->count = kept;
}

/* Timers live on: those to itself and to the dead are cancelled, the others find a keeper. */
void rusm__timers_end(struct rusm__guest *guest) {
    struct rusm__guest_timers *timers = rusm__calls_of(guest)->timers;
    struct rusm__orphans *orphans = &rusm__hostcall_of(guest)->orphans;
    uint32_t count = timers ? timers->count : 0;
    uint64_t now = count ? rusm__clock_ns() : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rusm__guest_timer *timer = &timers->items[i];
        if (is_armed(timer, now))
            rusm__orphans_adopt(orphans, &(struct rusm__orphan){.to = timer->to,
                                                                .timer = timer->timer,
                                                                .deadline_ns = timer->deadline_ns,
                                                                .bytes = timer->weight});
    }
    rusm__mem_free(timers);
    rusm__orphans_target_ended(orphans, guest->pid);
}

/* A table of twice the size, up to the limit; the first one where there is none. */
static bool enlarge(struct rusm__guest_timers **timers, uint32_t limit) {
    uint32_t cap = *timers ? (*timers)->cap : FIRST_CAP / 2;
    cap = cap < limit / 2 ? 2 * cap : limit;
    size_t bytes = sizeof(**timers) + cap * sizeof((*timers)->items[0]);
    struct rusm__guest_timers *larger = rusm__mem_try_realloc(*timers, bytes);
    if (!larger)
        return false;
    if (!*timers)
        *larger = (struct rusm__guest_timers){0};
    larger->cap = cap;
    *timers = larger;
    return true;
}

static int make_first(struct rusm__guest_timers **timers, uint32_t limit) {
    if (!limit)
        return RUSM_ELIMIT;
    return enlarge(timers, limit) ? RUSM_OK : RUSM_ENOMEM;
}

/* Room for one more: RUSM_ELIMIT when so many are armed, RUSM_ENOMEM. The table grows when half of
 * it is armed, so that a sweep pays for itself. */
static int make_room(struct rusm__guest_timers **table, uint32_t limit, uint64_t now) {
    struct rusm__guest_timers *timers = *table;
    if (!timers)
        return make_first(table, limit);
    if (timers->count < timers->cap)
        return RUSM_OK;
    sweep(timers, now);
    if (timers->count >= limit)
        return RUSM_ELIMIT;
    bool crowded = timers->count >= timers->cap / 2 && timers->cap < limit;
    bool is_full = timers->count == timers->cap;
    return crowded && !enlarge(table, limit) && is_full ? RUSM_ENOMEM : RUSM_OK;
}

/* The messages of armed timers are held to the same bound as a mailbox. */
static bool is_too_heavy(struct rusm__guest *guest, size_t more, uint64_t now) {
    struct rusm__guest_timers *timers = rusm__calls_of(guest)->timers;
    uint64_t limit = rusm__mailbox_bytes_of(guest);
    if (timers->bytes + more > limit)
        sweep(timers, now);
    return timers->bytes + more > limit;
}

void rusm__timers_sweep(struct rusm__guest *guest) {
    struct rusm__guest_timers *timers = rusm__calls_of(guest)->timers;
    if (timers)
        sweep(timers, rusm__clock_ns());
}

static uint32_t refuse(struct rusm__guest *guest, int code) {
    if (code == RUSM_ELIMIT)
        return rusm__hostcall_trap(guest,
                                   "%u timers are armed, the limit of `max-timers` under "
                                   "[%s.%s]",
                                   guest->profile->max_timers, RUSM__LIMITS_TABLE(guest->profile));
    return rusm__hostcall_trap(guest, "no timer: %s", rusm_error_text(code));
}

uint32_t rusm__actor_send_after(struct rusm__guest *guest, uint64_t to, uint64_t delay_ms,
                                struct rusm__slice message, uint64_t *out_timer) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    uint64_t now = rusm__clock_ns();
    rusm_msg *msg;
    int code = make_room(&calls->timers, guest->profile->max_timers, now);
    if (code < 0)
        return refuse(guest, code);
    struct rusm__guest_timers *timers = calls->timers;
    if (is_too_heavy(guest, message.len, now))
        return rusm__hostcall_trap(guest,
                                   "armed timers hold %llu bytes of messages, the limit of "
                                   "`mailbox-bytes` under [%s.%s] allows no %zu more",
                                   (unsigned long long)timers->bytes,
                                   RUSM__LIMITS_TABLE(guest->profile), message.len);
    if (!rusm__ledger_fits(guest, message.len + RUSM__WEIGHT_TIMER))
        return rusm__ledger_trap(guest, message.len + RUSM__WEIGHT_TIMER);
    if (rusm__mail_copy(guest, message, &msg) != RUSM__CALL_OK)
        return RUSM__CALL_TRAP;
    struct rusm__guest_timer item = {.handle = timers->next_handle,
                                     .to = to,
                                     .weight = (uint32_t)message.len,
                                     .deadline_ns = rusm__deadline_ms(now, delay_ms)};
    code = rusm_timer_send(rusm__runtime_of(guest), item.deadline_ns, to, msg, &item.timer);
    if (code < 0) {
        rusm_msg_free(msg);
        return refuse(guest, code);
    }
    timers->items[timers->count++] = item;
    timers->bytes += item.weight;
    *out_timer = timers->next_handle++;
    return RUSM__CALL_OK;
}

uint32_t rusm__actor_cancel_timer(struct rusm__guest *guest, uint64_t handle) {
    struct rusm__guest_timers *timers = rusm__calls_of(guest)->timers;
    struct rusm__guest_timer *timer =
        timers ? rusm__find_sorted(timers->items, timers->count, sizeof(*timer), handle) : NULL;
    if (!timer || timer->dead)
        return 0;
    timer->dead = true;
    return rusm_timer_cancel(rusm__runtime_of(guest), timer->timer);
}
