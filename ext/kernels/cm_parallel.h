/* OpenMP behind one header: without it everything runs on one thread.
 *
 *     CM_PARALLEL_FOR(threads)
 *     for (ptrdiff_t i = 0; i < n; i++) ...
 */
#ifndef CM_PARALLEL_H
#define CM_PARALLEL_H

#ifdef _OPENMP
#define CM_OPENMP 1
#define CM_PRAGMA(text) _Pragma(#text)
#define CM_PARALLEL_FOR(threads) \
    CM_PRAGMA(omp parallel for schedule(dynamic) num_threads(threads) if ((threads) > 1))
#define CM_CRITICAL CM_PRAGMA(omp critical)
#else
#define CM_OPENMP 0
#define CM_PARALLEL_FOR(threads)
#define CM_CRITICAL
#endif

#endif
