/* SPDX-License-Identifier: MIT */
/* An intrusive, circular, doubly linked list. The node is a field of the object; an object may sit
 * in as many lists as it has nodes. A node outside of any list points to itself, so unlinking
 * twice does no harm. No locking: the owner of the list's head guards it. */
#ifndef RUSM__BASE_LIST_H
#define RUSM__BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct rusm__list {
    struct rusm__list *next;
    struct rusm__list *prev;
};

/* The object of `type` whose field `member` is at `node`. */
#define rusm__list_entry(node, type, member)                                                       \
    ((type *)(void *)((char *)(node) - offsetof(type, member)))

/* `node` walks from the oldest to the newest; it must not be unlinked in the loop's body (take
 * its next first, or pop from the front). */
#define rusm__list_each(node, head)                                                                \
    for (struct rusm__list *node = (head)->next; node != (head); node = node->next)

static inline void rusm__list_init(struct rusm__list *head) {
    head->next = head;
    head->prev = head;
}

static inline bool rusm__list_is_empty(const struct rusm__list *head) {
    return head->next == head;
}

static inline void rusm__list_insert_before(struct rusm__list *at, struct rusm__list *node) {
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}

static inline void rusm__list_push_back(struct rusm__list *head, struct rusm__list *node) {
    rusm__list_insert_before(head, node);
}

static inline void rusm__list_push_front(struct rusm__list *head, struct rusm__list *node) {
    rusm__list_insert_before(head->next, node);
}

static inline void rusm__list_unlink(struct rusm__list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    rusm__list_init(node);
}

/* The oldest, unlinked; NULL when the list is empty. */
static inline struct rusm__list *rusm__list_pop_front(struct rusm__list *head) {
    struct rusm__list *first = head->next;
    if (first == head)
        return NULL;
    rusm__list_unlink(first);
    return first;
}

#endif
