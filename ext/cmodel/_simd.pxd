cdef extern from "cm_simd.h" nogil:
    ctypedef enum cm_simd:
        CM_SIMD_SCALAR
        CM_SIMD_LEVELS
    const char *cm_simd_name(cm_simd level)
    int cm_simd_available(cm_simd level)
    cm_simd cm_simd_best()
    int cm_simd_use(cm_simd level)
    int cm_simd_use_engine(cm_simd level)

# The level of this process. A module whose kernels have variants fills its own dispatch table with
# it at import: cm_simd_use(current()).
cdef cm_simd current() noexcept
