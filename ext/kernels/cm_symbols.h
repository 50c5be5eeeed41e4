/* The alphabet of the entropy coders. */
#ifndef CM_SYMBOLS_H
#define CM_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "cm_fault.h"

#define CM_SYMBOLS 2048

/* Counts symbols (`item` bytes each). CM_ARGUMENT and the symbol's index where one is over 2047. */
cm_status cm_symbols_count(const void *symbols, size_t count, unsigned item,
                           uint64_t histogram[CM_SYMBOLS], cm_fault *fault);

#endif
