#include "cm_simd.h"

cm_status cm_simd_use_engine(cm_simd level) {
    cm_status status = cm_simd_use(level);
    if (status != CM_OK) return status;
    cm_kernel.engine = &cm_engine_scalar;
#if defined(__x86_64__)
    if (level == CM_SIMD_AVX2) cm_kernel.engine = &cm_engine_avx2;
    if (level == CM_SIMD_AVX512) cm_kernel.engine = &cm_engine_avx512;
#endif
    return CM_OK;
}
