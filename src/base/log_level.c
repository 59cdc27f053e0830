/* SPDX-License-Identifier: MIT */
/* The names of the levels, as a manifest or a command line has them. */
#include <string.h>
#include <strings.h>

#include "base/log.h"

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool rusm__log_parse_level(const char *text, size_t len, enum rusm__log_level *out_level) {
    static const struct {
        const char *name;
        enum rusm__log_level level;
    } names[] = {
        {"off", RUSM__LOG_OFF},      {"error", RUSM__LOG_ERROR}, {"warn", RUSM__LOG_WARN},
        {"warning", RUSM__LOG_WARN}, {"info", RUSM__LOG_INFO},   {"debug", RUSM__LOG_DEBUG},
        {"trace", RUSM__LOG_DEBUG},
    };
    while (len && is_blank(text[len - 1]))
        len--;
    for (; len && is_blank(*text); len--)
        text++;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i].name) == len && strncasecmp(names[i].name, text, len) == 0) {
            *out_level = names[i].level;
            return true;
        }
    return false;
}
