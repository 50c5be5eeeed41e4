#include "cm_pool.h"

static void alone(size_t count, cm_task *task, void *context) {
    for (size_t unit = 0; unit < count; unit++) task(context, unit, 0);
}

#if defined(CM_NO_THREADS) || defined(_WIN32)

void cm_pool_run(unsigned threads, size_t count, cm_task *task, void *context) {
    (void)threads;
    alone(count, task, context);
}

void cm_pool_stop(void) {}

#else

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#define MOST_THREADS 64
/* Pauses before a thread sleeps: about half a millisecond, longer than what lies between two layers
 * or two runs. To wake a thread takes longer than many a layer, above all on a virtual machine. */
#define SPIN 20000
/* Pauses of the caller before it lets others run. */
#define PATIENCE 2000

/* The job's state in one word, so that joining it and closing it exclude each other:
 * bit 0 open, 8 bits limit of joiners, 8 bits joiners, then the job's number. */
#define OPEN ((uint64_t)1)
#define LIMIT_SHIFT 8
#define JOINED_SHIFT 16
#define NUMBER_SHIFT 24
#define FIELD(word, shift) ((unsigned)((word) >> (shift)) & 0xFF)

static struct {
    pthread_mutex_t owner;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t threads[MOST_THREADS];
    unsigned started;
    atomic_uint sleepers;
    atomic_bool stopping;
    _Atomic uint64_t word;
    atomic_size_t next;
    atomic_uint finished;
    /* Written while no job is open, read by those that have joined one. */
    cm_task *task;
    void *context;
    size_t count;
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER};

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_units(unsigned worker) {
    size_t unit;
    while ((unit = atomic_fetch_add(&pool.next, 1)) < pool.count)
        pool.task(pool.context, unit, worker);
}

static int joinable(uint64_t word, uint64_t done) {
    return (word & OPEN) && word >> NUMBER_SHIFT != done &&
           FIELD(word, JOINED_SHIFT) < FIELD(word, LIMIT_SHIFT);
}

/* Waits for a job that is not `done`; a word with the bit OPEN clear means that the pool ends. */
static uint64_t wait_for_job(uint64_t done) {
    for (unsigned i = 0; i < SPIN; i++) {
        uint64_t word = atomic_load(&pool.word);
        if (joinable(word, done)) return word;
        pause_briefly();
    }
    uint64_t word = 0;
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);
    while (!atomic_load(&pool.stopping)) {
        word = atomic_load(&pool.word);
        if (joinable(word, done)) break;
        word = 0;
        pthread_cond_wait(&pool.wake, &pool.lock);
    }
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
    return atomic_load(&pool.stopping) ? 0 : word;
}

static void *work(void *unused) {
    (void)unused;
    uint64_t done = 0;
    for (;;) {
        uint64_t word = wait_for_job(done);
        if (!(word & OPEN)) return NULL;
        while (joinable(word, done)) {
            if (atomic_compare_exchange_weak(&pool.word, &word,
                                             word + ((uint64_t)1 << JOINED_SHIFT))) {
                done = word >> NUMBER_SHIFT;
                take_units(FIELD(word, JOINED_SHIFT) + 1);
                atomic_fetch_add(&pool.finished, 1);
                break;
            }
        }
    }
}

/* Only the caller's thread lives on in the child of a fork. */
static void forget(void) {
    pool.started = 0;
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.word, atomic_load(&pool.word) & ~OPEN);
    pthread_mutex_init(&pool.owner, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
}

static void start(unsigned helpers) {
    static int prepared;
    if (!prepared) prepared = !pthread_atfork(NULL, NULL, forget);
    while (pool.started < helpers &&
           !pthread_create(&pool.threads[pool.started], NULL, work, NULL))
        pool.started++;
}

void cm_pool_run(unsigned threads, size_t count, cm_task *task, void *context) {
    if (threads > count) threads = (unsigned)count;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads < 2 || pthread_mutex_trylock(&pool.owner)) {
        alone(count, task, context);
        return;
    }
    start(threads - 1);
    pool.task = task;
    pool.context = context;
    pool.count = count;
    atomic_store(&pool.next, 0);
    atomic_store(&pool.finished, 0);
    uint64_t number = (atomic_load(&pool.word) >> NUMBER_SHIFT) + 1;
    atomic_store(&pool.word,
                 number << NUMBER_SHIFT | (uint64_t)(threads - 1) << LIMIT_SHIFT | OPEN);
    if (atomic_load(&pool.sleepers)) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
    take_units(0);
    unsigned joined = FIELD(atomic_fetch_and(&pool.word, ~OPEN), JOINED_SHIFT);
    for (unsigned i = 0; atomic_load(&pool.finished) != joined; i++) {
        if (i < PATIENCE) pause_briefly();
        else sched_yield();
    }
    pthread_mutex_unlock(&pool.owner);
}

void cm_pool_stop(void) {
    pthread_mutex_lock(&pool.owner);
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.stopping, 1);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    while (pool.started) pthread_join(pool.threads[--pool.started], NULL);
    atomic_store(&pool.stopping, 0);
    pthread_mutex_unlock(&pool.owner);
}

#endif
