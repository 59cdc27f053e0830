/* SPDX-License-Identifier: MIT */
/* Everything at once. */
#ifndef RUSM_RUSM_H
#define RUSM_RUSM_H

#include "rusm/bridge.h"
#include "rusm/error.h"
#include "rusm/export.h"
#include "rusm/fiber.h"
#include "rusm/log.h"
#include "rusm/msg.h"
#include "rusm/node.h"
#include "rusm/process.h"
#include "rusm/runtime.h"
#include "rusm/store.h"
#include "rusm/stream.h"
#include "rusm/supervisor.h"
#include "rusm/version.h"

#endif
