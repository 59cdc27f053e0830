/* SPDX-License-Identifier: MIT */
/* serve: what the process was started for. */
#include "hostcall/hostcall_impl.h"

const struct rusm__connection_info *rusm__guest_connection(struct rusm__guest *guest) {
    return guest->connection;
}
