#include "cm_simd.h"

#include "cm_crc32.h"
#include "cm_huffman.h"
#include "cm_kmeans.h"
#include "cm_rans.h"

cm_kernels cm_kernel;

const char *cm_simd_name(cm_simd level) {
    static const char *const names[CM_SIMD_LEVELS] = {"scalar", "avx2", "avx512", "neon"};
    return names[level];
}

int cm_simd_available(cm_simd level) {
    switch (level) {
    case CM_SIMD_SCALAR:
        return 1;
#if defined(__x86_64__)
    case CM_SIMD_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
               __builtin_cpu_supports("lzcnt") && __builtin_cpu_supports("pclmul");
    case CM_SIMD_AVX512:
        return cm_simd_available(CM_SIMD_AVX2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__)
    case CM_SIMD_NEON:
        return 1;
#endif
    default:
        return 0;
    }
}

cm_simd cm_simd_best(void) {
    static const cm_simd order[] = {CM_SIMD_AVX512, CM_SIMD_AVX2, CM_SIMD_NEON};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (cm_simd_available(order[i])) return order[i];
    return CM_SIMD_SCALAR;
}

cm_status cm_simd_use(cm_simd level) {
    if (level >= CM_SIMD_LEVELS || !cm_simd_available(level)) return CM_ARGUMENT;
    cm_crc32_prepare();
    cm_rans_prepare();
    cm_context_prepare();
    cm_kernel = (cm_kernels){cm_crc32_update_scalar, cm_huffman_lanes_scalar, cm_rans_lanes_scalar,
                             cm_assign8_scalar, cm_assign16_scalar, cm_rdo_window_scalar,
                             cm_context_encode_row_scalar, cm_context_decode_row_scalar,
                             cm_nearest_scalar, NULL};
#if defined(__x86_64__)
    if (level == CM_SIMD_AVX2 || level == CM_SIMD_AVX512) {
        cm_kernel.crc32 = cm_crc32_update_avx2;
        cm_kernel.huffman_lanes = cm_huffman_lanes_avx2;
        cm_kernel.rans_lanes = level == CM_SIMD_AVX512 ? cm_rans_lanes_avx512 : cm_rans_lanes_avx2;
        cm_kernel.assign8 = cm_assign8_avx2;
        cm_kernel.rdo_window = cm_rdo_window_avx2;
        cm_kernel.context_encode_row = cm_context_encode_row_avx2;
        cm_kernel.context_decode_row = cm_context_decode_row_avx2;
        cm_kernel.nearest = cm_nearest_avx2;
    }
#endif
    return CM_OK;
}
