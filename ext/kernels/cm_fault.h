/* What is wrong with an input, and at which byte of it. */
#ifndef CM_FAULT_H
#define CM_FAULT_H

#include <stddef.h>

#include "cm_status.h"

typedef struct {
    size_t at;
    const char *what; /* a static string */
} cm_fault;

static inline cm_status cm_fail(cm_fault *fault, cm_status status, size_t at, const char *what) {
    fault->at = at;
    fault->what = what;
    return status;
}

#endif
