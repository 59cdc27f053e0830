/* SPDX-License-Identifier: MIT */
/* A sorted array: an app has a few dozen components, so a look-up is five comparisons. */
#include "hostcall/registry.h"

#include <stdbool.h>
#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "hostcall/template.h"

static int compare(const void *a, size_t a_len, const char *b) {
    size_t b_len = strlen(b);
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* Where name is, or where it belongs. */
static size_t place_of(const struct rusm__registered *registered, const void *name, size_t len,
                       bool *out_found) {
    size_t low = 0, high = registered->count;
    *out_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(name, len, registered->items[middle].name);
        if (order == 0) {
            *out_found = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool make_room(struct rusm__registered *registered) {
    if (registered->count < registered->cap)
        return true;
    size_t cap = registered->cap ? 2 * registered->cap : 16;
    void *items = rusm__mem_try_realloc(registered->items, cap * sizeof(*registered->items));
    if (!items)
        return false;
    registered->items = items;
    registered->cap = cap;
    return true;
}

int rusm__registered_add(struct rusm__registered *registered, const char *name,
                         struct rusm__component *component, struct rusm__template *template) {
    bool found;
    size_t at = place_of(registered, name, strlen(name), &found);
    if (found)
        return RUSM_EEXIST;
    char *copy = rusm__mem_try_strndup(name, strlen(name));
    if (!copy || !make_room(registered)) {
        rusm__mem_free(copy);
        return RUSM_ENOMEM;
    }
    memmove(&registered->items[at + 1], &registered->items[at],
            (registered->count - at) * sizeof(*registered->items));
    registered->items[at] = (struct rusm__registration){copy, component, template};
    registered->count++;
    return RUSM_OK;
}

const struct rusm__registration *rusm__registered_find(const struct rusm__registered *registered,
                                                       const void *name, size_t len) {
    bool found;
    size_t at = place_of(registered, name, len, &found);
    return found ? &registered->items[at] : NULL;
}

void rusm__registered_fini(struct rusm__registered *registered) {
    for (size_t i = 0; i < registered->count; i++) {
        rusm__template_free(registered->items[i].template);
        rusm__mem_free(registered->items[i].name);
    }
    rusm__mem_free(registered->items);
    *registered = (struct rusm__registered){0};
}
