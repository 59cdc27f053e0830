/* SPDX-License-Identifier: MIT */
#include "timer/wheel.h"

#include "base/assert.h"

enum { SLOT_BITS = 6, SLOT_MASK = RUSM__WHEEL_SLOTS - 1 };
/* The last tick whose beginning can be said in nanoseconds; later deadlines are due then, 584 years
 * after the machine's start. */
static const uint64_t LAST_TICK = UINT64_MAX >> RUSM__WHEEL_TICK_SHIFT;

_Static_assert(64 - RUSM__WHEEL_TICK_SHIFT <= SLOT_BITS * RUSM__WHEEL_LEVELS,
               "every tick has a level");

static unsigned level_of(uint64_t now, uint64_t tick) {
    uint64_t differs = (now ^ tick) | SLOT_MASK;
    return (63u - (unsigned)__builtin_clzll(differs)) / SLOT_BITS;
}

static unsigned slot_of(uint64_t tick, unsigned level) {
    return (unsigned)(tick >> (SLOT_BITS * level)) & SLOT_MASK;
}

void rusm__wheel_init(struct rusm__wheel *wheel, uint64_t now_ns) {
    wheel->now = now_ns >> RUSM__WHEEL_TICK_SHIFT;
    for (unsigned level = 0; level < RUSM__WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < RUSM__WHEEL_SLOTS; slot++) {
            rusm__list_init(&wheel->slots[level][slot]);
        }
    }
    rusm__list_init(&wheel->due);
}

void rusm__wheel_node_init(struct rusm__wheel_node *node) {
    rusm__list_init(&node->link);
    node->tick = 0;
}

static void place(struct rusm__wheel *wheel, struct rusm__wheel_node *node) {
    if (node->tick <= wheel->now) {
        rusm__list_push_back(&wheel->due, &node->link);
        return;
    }
    unsigned level = level_of(wheel->now, node->tick);
    RUSM_ASSERT(level < RUSM__WHEEL_LEVELS);
    unsigned slot = slot_of(node->tick, level);
    wheel->occupied[level] |= (uint64_t)1 << slot;
    rusm__list_push_back(&wheel->slots[level][slot], &node->link);
}

void rusm__wheel_arm(struct rusm__wheel *wheel, struct rusm__wheel_node *node,
                     uint64_t deadline_ns) {
    /* Round up: the tick must have begun after the deadline. */
    uint64_t tick = (deadline_ns >> RUSM__WHEEL_TICK_SHIFT) +
                    ((deadline_ns & (((uint64_t)1 << RUSM__WHEEL_TICK_SHIFT) - 1)) != 0);
    RUSM_ASSERT(rusm__list_is_empty(&node->link)); /* armed twice would tear two lists */
    node->tick = tick < LAST_TICK ? tick : LAST_TICK;
    place(wheel, node);
}

void rusm__wheel_cancel(struct rusm__wheel_node *node) {
    rusm__list_unlink(&node->link);
}

/* The first tick at which something has to be done, and where; UINT64_MAX when nothing is armed.
 * A lower level always comes first, because its nodes share the present slot of all higher ones. */
static uint64_t next_tick(struct rusm__wheel *wheel, unsigned *out_level, unsigned *out_slot) {
    for (unsigned level = 0; level < RUSM__WHEEL_LEVELS; level++) {
        while (wheel->occupied[level]) {
            unsigned slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);
            if (rusm__list_is_empty(&wheel->slots[level][slot])) {
                wheel->occupied[level] &= ~((uint64_t)1 << slot);
                continue;
            }
            unsigned above = SLOT_BITS * (level + 1);
            *out_level = level;
            *out_slot = slot;
            return (wheel->now >> above << above) | (uint64_t)slot << (SLOT_BITS * level);
        }
    }
    return UINT64_MAX;
}

static void spread(struct rusm__wheel *wheel, unsigned level, unsigned slot) {
    struct rusm__list *from = &wheel->slots[level][slot];
    wheel->occupied[level] &= ~((uint64_t)1 << slot);
    struct rusm__list *link;
    while ((link = rusm__list_pop_front(from)) != NULL) {
        place(wheel, rusm__list_entry(link, struct rusm__wheel_node, link));
    }
}

static void advance(struct rusm__wheel *wheel, uint64_t to) {
    while (wheel->now < to) {
        unsigned level = 0;
        unsigned slot = 0;
        uint64_t tick = next_tick(wheel, &level, &slot);
        if (tick > to) {
            wheel->now = to;
            return;
        }
        wheel->now = tick;
        spread(wheel, level, slot);
    }
}

struct rusm__wheel_node *rusm__wheel_pop(struct rusm__wheel *wheel, uint64_t now_ns) {
    advance(wheel, now_ns >> RUSM__WHEEL_TICK_SHIFT);
    struct rusm__list *link = rusm__list_pop_front(&wheel->due);
    return link ? rusm__list_entry(link, struct rusm__wheel_node, link) : NULL;
}

uint64_t rusm__wheel_next_ns(struct rusm__wheel *wheel) {
    if (!rusm__list_is_empty(&wheel->due)) {
        return 0;
    }
    unsigned level;
    unsigned slot;
    uint64_t tick = next_tick(wheel, &level, &slot);
    return tick == UINT64_MAX ? UINT64_MAX : tick << RUSM__WHEEL_TICK_SHIFT;
}

bool rusm__wheel_validate(const struct rusm__wheel *wheel) {
    for (unsigned level = 0; level < RUSM__WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < RUSM__WHEEL_SLOTS; slot++) {
            const struct rusm__list *head = &wheel->slots[level][slot];
            for (struct rusm__list *at = head->next; at != head; at = at->next) {
                const struct rusm__wheel_node *node =
                    rusm__list_entry(at, struct rusm__wheel_node, link);
                if (node->tick <= wheel->now || level_of(wheel->now, node->tick) != level ||
                    slot_of(node->tick, level) != slot || !(wheel->occupied[level] >> slot & 1)) {
                    return false;
                }
            }
        }
    }
    return true;
}
