"""Product quantization: rows are cut into blocks, each block becomes one of k codewords.

H. Jegou, M. Douze, C. Schmid, "Product quantization for nearest neighbor search", 2011, equation
8; for weights Y. Gong, L. Liu, M. Yang, L. Bourdev, "Compressing Deep Convolutional Networks using
Vector Quantization", 2014, section 3.3: minimise sum |w_z - c_j|^2 for each block on its own. For
convolutions over the input channels at each place of the kernel: J. Wu et al., 2016, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmodel.compress.options import check_bool, check_choice, check_int
from cmodel.compress.registry import Outcome, Task, method
from cmodel.compress.values import relative_error, unpruned
from cmodel.compress.vectors import ALONG, cluster_blocks, decoded, layout_of
from cmodel.tensors import Dense


@dataclass(frozen=True)
class Options:
    """How blocks are cut and coded.

    k : codewords of a codebook; fewer where there are fewer different blocks.
    dimension : of a block; divides a row.
    shared : one codebook for all blocks, instead of one for each block of a row.
    along : a row is the input "channels" at one place of a kernel, or all of an output's "row".
    iterations : most Lloyd iterations.
    """

    k: int = 256
    dimension: int = 8
    shared: bool = False
    along: str = "channels"
    iterations: int = 25

    def __post_init__(self) -> None:
        check_int("k", self.k, 1, 65536)
        check_int("dimension", self.dimension, 1, 1 << 20)
        check_bool("shared", self.shared)
        check_choice("along", self.along, ALONG)
        check_int("iterations", self.iterations, 1, 10000)


@method("quantize.product", Options)
def quantize_product(task: Task[Options]) -> Outcome:
    """Quantize a Dense parameter."""
    options = task.options
    weights = unpruned(task.form, task.name, "quantize.product")
    layout = layout_of(task.layer, task.name, weights.shape, options.along, options.dimension)
    rows = layout.rows(weights)
    if not rows.size:
        return Outcome(task.form)
    codebooks, codes = cluster_blocks(
        rows,
        options.dimension,
        options.k,
        options.shared,
        options.iterations,
        task.rng,
        task.threads,
    )
    facts = {"error": relative_error(decoded(codebooks, codes), rows)}
    return Outcome(layout.product(Dense(codebooks[None]), codes[None]), facts)
