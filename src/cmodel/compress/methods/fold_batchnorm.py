"""BatchNorm and Scale move into the weights of the layer before them: nothing is lost but layers.

S. Ioffe, C. Szegedy, "Batch Normalization", 2015, section 3.1 (algorithm 2): with fixed statistics
y = (x - mean) / sqrt(variance + eps) * gamma + beta is linear, so that with x = W p + b
W' = W gamma / sqrt(variance + eps) and b' = (b - mean) gamma / sqrt(variance + eps) + beta.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmodel.compress.registry import Facts, RewriteTask, Rewritten, rewrite
from cmodel.compress.surgery import form_of, plain_weights, positive_zeros, readers_of
from cmodel.errors import RecipeError
from cmodel.net import Layer, Net, parameter_name
from cmodel.tensors import Dense


@dataclass(frozen=True)
class Options:
    """Whether there has to be something to fold.

    required : without it a net that has nothing to fold stays as it is.
    """

    required: bool = True


@rewrite("fold.batchnorm", Options)
def fold_batchnorm(task: RewriteTask[Options]) -> Rewritten:
    """Fold what follows the selected layers; those that nothing follows stay as they are."""
    facts: dict[str, Facts] = {}
    for target in task.targets:
        if target.layer.type not in ("Convolution", "InnerProduct") or target.blob != 0:
            continue
        layer = task.net.layer(target.layer.key)
        chain = _followers(task.net, layer)
        if chain:
            weights, bias = plain_weights(task.net, target, "fold.batchnorm")
            _fold(task.net, layer, chain, weights, None if bias is None else bias.to_dense())
            facts[target.name] = {"folded": [follower.key for follower in chain]}
    if not facts and any(options.required for options in task.options.values()):
        raise RecipeError(
            "`fold.batchnorm` finds no BatchNorm or Scale that follows a selected layer directly",
            hint="leave the step out, or say `required = false`",
        )
    return Rewritten(task.net, facts)


def _followers(net: Net, layer: Layer) -> list[Layer]:
    """Return the BatchNorm and Scale layers that alone read what the layer puts out."""
    chain: list[Layer] = []
    place = net.layers.index(layer)
    blob = layer.tops[0]
    if len(layer.tops) != 1:
        return chain
    while True:
        readers = readers_of(net, place, blob)
        if len(readers) != 1 or not _foldable(net, layer, readers[0]):
            return chain
        follower = readers[0]
        chain.append(follower)
        place, blob = net.layers.index(follower), follower.tops[0]


def _foldable(net: Net, layer: Layer, follower: Layer) -> bool:
    if len(follower.bottoms) != 1 or len(follower.tops) != 1 or not follower.parameters:
        return False
    shared = any(
        set(other.parameters) & set(follower.parameters)
        for other in net.layers
        if other is not follower
    )
    if layer.type == "InnerProduct":
        param = layer.param.inner_product_param
        axis, channels = param.axis, param.num_output
    else:
        axis, channels = (
            layer.param.convolution_param.axis,
            layer.param.convolution_param.num_output,
        )
    if shared or axis != 1:
        return False
    if follower.type == "BatchNorm":
        batch_norm = follower.param.batch_norm_param
        return batch_norm.use_global_stats or not batch_norm.HasField("use_global_stats")
    scale = follower.param.scale_param
    return (
        follower.type == "Scale"
        and scale.axis == 1
        and scale.num_axes == 1
        and net.parameters.shape(follower.parameters[0]) == (channels,)
    )


def _fold(
    net: Net, layer: Layer, chain: list[Layer], weights: np.ndarray, bias: np.ndarray | None
) -> None:
    param = (
        layer.param.inner_product_param
        if layer.type == "InnerProduct"
        else layer.param.convolution_param
    )
    outputs = param.num_output
    factor, offset = np.ones(outputs), np.zeros(outputs)
    if bias is not None:
        offset += bias.reshape(-1)
    for follower in chain:
        values = [
            form_of(net, name).to_dense().reshape(-1).astype(np.float64)
            for name in follower.parameters
        ]
        if follower.type == "BatchNorm":
            mean, variance, shared = values
            unit = 0.0 if shared[0] == 0 else 1 / shared[0]
            gain = 1 / np.sqrt(variance * unit + follower.param.batch_norm_param.eps)
            shift = -mean * unit * gain
        else:
            gain = values[0]
            shift = values[1] if len(values) > 1 else np.zeros(outputs)
        factor, offset = factor * gain, offset * gain + shift
        for name in follower.parameters:
            del net.parameters[name]
        net.layers.remove(follower)
    transposed = layer.type == "InnerProduct" and layer.param.inner_product_param.transpose
    along = factor if transposed else factor.reshape(-1, *(1,) * (weights.ndim - 1))
    net.parameters[layer.parameters[0]] = Dense(positive_zeros(weights * along))
    if len(layer.parameters) == 1:
        param.bias_term = True
        layer.parameters.append(parameter_name(layer.key, 1))
    net.parameters[layer.parameters[1]] = Dense(positive_zeros(offset))
    layer.param.top[0] = chain[-1].tops[0]
