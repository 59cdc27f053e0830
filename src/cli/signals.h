/* SPDX-License-Identifier: MIT */
/* SIGINT and SIGTERM, taken by one thread that does nothing else. All other threads block them, so
 * no call of the library is ever interrupted.
 *
 *   during the start   the program ends at once: nothing is served yet
 *   while it runs      the first one wakes rusm__cli_wait; the second ends the program at once
 *
 * "At once" exits with 128 + the signal's number. */
#ifndef RUSM__CLI_SIGNALS_H
#define RUSM__CLI_SIGNALS_H

#include <stdbool.h>

/* Before any other thread is started. False when the system refuses a thread. */
bool rusm__cli_signals_start(void);

/* The start is over: from now on the first signal is for rusm__cli_wait. */
void rusm__cli_signals_ready(void);

/* Wait for the first signal. */
void rusm__cli_wait(void);

#endif
