/* SPDX-License-Identifier: MIT */
/* Names and texts of the error codes, made from the one list in rusm/error.h. */
#include "rusm/error.h"

const char *rusm_error_name(int code) {
    switch (code) {
    case RUSM_OK:
        return "RUSM_OK";
#define ERROR_NAME(name, value, text)                                                              \
    case RUSM_##name:                                                                              \
        return "RUSM_" #name;
        RUSM_ERROR_MAP(ERROR_NAME)
#undef ERROR_NAME
    default:
        return "RUSM_UNKNOWN";
    }
}

const char *rusm_error_text(int code) {
    switch (code) {
    case RUSM_OK:
        return "success";
#define ERROR_TEXT(name, value, text)                                                              \
    case RUSM_##name:                                                                              \
        return text;
        RUSM_ERROR_MAP(ERROR_TEXT)
#undef ERROR_TEXT
    default:
        return "unknown error";
    }
}
