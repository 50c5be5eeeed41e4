/* Everything of cm_engine.h for the level that CM_LEVEL names. */
#include "cm_engine.h"
#include "cm_vec.h"
#include "cm_wino.h"

#include "cm_tile_kernel.h"

#include "cm_pack_kernel.h"

#include "cm_dense_kernel.h"

#include "cm_table.h"

#include "cm_coded_kernel.h"

#include "cm_sparse_kernel.h"

#include "cm_copy_kernel.h"

#include "cm_depthwise_kernel.h"

#include "cm_pooling_kernel.h"

#include "cm_lrn_kernel.h"

#include "cm_int8_kernel.h"

const cm_engine NAME(cm_engine) = {
    .lanes = LANES,
    .rows = TILE_ROWS,
    .tile = NAME(tile),
    .pack = NAME(pack),
    .copy_rows = NAME(copy_rows),
    .depthwise = NAME(depthwise),
    .pool = NAME(pool),
    .mean = NAME(mean),
    .lrn = NAME(lrn),
    .dot = NAME(dot),
    .rows_by_panel = NAME(rows),
    .sparse = NAME(sparse),
    .sparse_one = SPARSE_ONE,
    .sparse_four = SPARSE_FOUR,
    .coded = NAME(coded),
    .coded_panel = NAME(coded_panel),
    .quantise = NAME(quantise),
    .int8_tile = NAME(int8_tile),
    .int8_dot = NAME(int8_dot),
#if CM_LEVEL
    .wino_input = cm_wino_input_avx2,
    .wino_output = cm_wino_output_avx2,
#else
    .wino_input = cm_wino_input_scalar,
    .wino_output = cm_wino_output_scalar,
#endif
};
