/* What every kernel returns; the wrappers turn it into an exception. */
#ifndef CM_STATUS_H
#define CM_STATUS_H

typedef enum {
    CM_OK = 0,
    CM_TRUNCATED = 1, /* the input ends too early */
    CM_CORRUPT = 2,   /* the input breaks a rule of its format */
    CM_OVERFLOW = 3,  /* the output does not fit the buffer given */
    CM_ARGUMENT = 4,  /* an argument is out of range */
    CM_MEMORY = 5,    /* no memory */
    CM_CHECKSUM = 6   /* a checksum does not match */
} cm_status;

#endif
