/* Everything of cm_engine.h for the level that CM_LEVEL names. */
#include "cm_engine.h"
#include "cm_vec.h"

#include "cm_tile_kernel.h"

#include "cm_pack_kernel.h"

const cm_engine NAME(cm_engine) = {
    .lanes = LANES,
    .rows = TILE_ROWS,
    .tile = NAME(tile),
    .pack = NAME(pack),
};
