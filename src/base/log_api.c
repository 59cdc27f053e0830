/* SPDX-License-Identifier: MIT */
/* The public side of the log: arguments are checked here, the work is done in log.c. */
#include "rusm/log.h"

#include <unistd.h>

#include "rusm/error.h"

#include "base/log.h"

/* The level of a log: OFF and DEFAULT too. False: there is no such level. */
static bool read_level(rusm_log_level level, enum rusm__log_level *out) {
    if (level < RUSM_LOG_OFF || level > RUSM_LOG_DEBUG)
        return false;
    *out = level == RUSM_LOG_OFF       ? RUSM__LOG_OFF
           : level == RUSM_LOG_DEFAULT ? RUSM__LOG_WARN
                                       : (enum rusm__log_level)level;
    return true;
}

static bool is_of_a_line(rusm_log_level level) {
    return level >= RUSM_LOG_ERROR && level <= RUSM_LOG_DEBUG;
}

int rusm_log_start(const rusm_log_options *opts) {
    static const rusm_log_options defaults = {.size = sizeof(defaults)};
    enum rusm__log_level level;
    opts = opts ? opts : &defaults;
    if (opts->size != sizeof(*opts) || !read_level(opts->level, &level))
        return RUSM_EINVAL;
    return rusm__log_open(opts->fd ? opts->fd : STDERR_FILENO, opts->sink, opts->arg, level);
}

int rusm_log_stop(void) {
    return rusm__log_close();
}

int rusm_log_set_level(rusm_log_level level) {
    enum rusm__log_level wanted;
    return read_level(level, &wanted) ? rusm__log_set_level(wanted) : RUSM_EINVAL;
}

bool rusm_log_wants(rusm_log_level level) {
    return is_of_a_line(level) && rusm__log_wants((enum rusm__log_level)level);
}

int rusm_log_write(rusm_log_level level, const char *who, const char *verb, const char *text,
                   size_t len) {
    if (!is_of_a_line(level) || !who || !verb || (!text && len))
        return RUSM_EINVAL;
    rusm__log_bytes((enum rusm__log_level)level, who, verb, text ? text : "", len);
    return RUSM_OK;
}

int rusm_log_flush(uint64_t deadline_ns) {
    return rusm__log_flush_until(deadline_ns);
}

uint64_t rusm_log_dropped(void) {
    return rusm__log_dropped();
}
