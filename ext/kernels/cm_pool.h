/* A small pool of threads that share the units of a job.
 *
 * One pool a process. A thread that has not woken when all units are taken is not waited for, so a
 * busy machine costs no more than the units that its threads hold. Without threads (CM_NO_THREADS)
 * the caller does everything. */
#ifndef CM_POOL_H
#define CM_POOL_H

#include <stddef.h>

/* Does one unit; `worker` is below the number of threads, and no two at once have the same. */
typedef void cm_task(void *context, size_t unit, unsigned worker);

/* Does units 0 to count - 1 with up to so many threads, the caller among them, and returns when all
 * are done. Where another thread has a job running, or no thread can be started, the caller does
 * everything alone. */
void cm_pool_run(unsigned threads, size_t count, cm_task *task, void *context);

/* Ends the threads; the next job starts them again. Not while a job runs. */
void cm_pool_stop(void);

#endif
