"""A network without what only training reads, and without defaults that it states.

What a network computes does not change; what its description costs in a small file does.
"""

from __future__ import annotations

from google.protobuf.message import Message

from cmodel.net.net import Net

# Fields that no forward pass of a trained network reads, by message.
_TRAINING = {
    "BatchNormParameter": ("moving_average_fraction",),
    "BiasParameter": ("filler",),
    "ConvolutionParameter": ("weight_filler", "bias_filler"),
    "EltwiseParameter": ("stable_prod_grad",),
    "EmbedParameter": ("weight_filler", "bias_filler"),
    "InnerProductParameter": ("weight_filler", "bias_filler"),
    "LayerParameter": ("propagate_down",),
    "NetParameter": ("debug_info", "force_backward"),
    "PReLUParameter": ("filler",),
    "ParamSpec": ("decay_mult", "lr_mult"),
    "ScaleParameter": ("filler", "bias_filler"),
}
# Fields that may be left out where they have Caffe's default: all for which it makes no difference
# whether they are stated. Of others (pad_h, slice_dim, fields of forks) that is not known.
_DEFAULTED = {
    "BatchNormParameter": ("eps",),
    "BiasParameter": ("axis", "num_axes"),
    "ConvolutionParameter": ("axis", "bias_term", "engine", "force_nd_im2col", "group"),
    "DropoutParameter": ("dropout_ratio",),
    "ELUParameter": ("alpha",),
    "EltwiseParameter": ("operation",),
    "FlattenParameter": ("axis", "end_axis"),
    "InnerProductParameter": ("axis", "bias_term", "transpose"),
    "LRNParameter": ("alpha", "beta", "engine", "k", "local_size", "norm_region"),
    "PReLUParameter": ("channel_shared",),
    "PoolingParameter": ("engine", "global_pooling", "pad", "pool", "stride"),
    "PowerParameter": ("power", "scale", "shift"),
    "ReLUParameter": ("engine", "negative_slope"),
    "ScaleParameter": ("axis", "bias_term", "num_axes"),
    "SigmoidParameter": ("engine",),
    "SoftmaxParameter": ("axis", "engine"),
    "TanHParameter": ("engine",),
}
# The same of repeated fields: left out where every value is this one.
_WINDOW = {"dilation": 1, "pad": 0, "stride": 1}


def deployed(net: Net) -> Net:
    """Return a copy of `net` that says only what running it needs; parameters are shared.

    Learning rates, fillers of layers that have their parameters, gradient switches and the like go,
    and fields that state Caffe's default. Names, rules of phases and unknown fields stay.
    """
    copy = net.copy()
    _strip(copy.header)
    for layer in copy.layers:
        if layer.type not in ("Input", "Python"):
            _strip(layer.param, filled=bool(layer.parameters))
        names = [spec.name for spec in layer.param.param]
        while names and not names[-1]:
            names.pop()
        del layer.param.param[len(names) :]
    return copy


def _strip(message: Message, *, filled: bool = True) -> None:
    """Clear the fields of a message, and of those in it, that say nothing."""
    kind = message.DESCRIPTOR.name
    for name in _TRAINING.get(kind, ()):
        if filled or not name.endswith("filler"):
            message.ClearField(name)
    for name in _DEFAULTED.get(kind, ()):
        if getattr(message, name) == message.DESCRIPTOR.fields_by_name[name].default_value:
            message.ClearField(name)
    if kind == "ConvolutionParameter":
        for name, usual in _WINDOW.items():
            if all(value == usual for value in getattr(message, name)):
                message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.is_repeated:
            for item in value:
                _strip(item, filled=filled)
            continue
        _strip(value, filled=filled)
        if value.DESCRIPTOR.name in _DEFAULTED and not value.ListFields():
            message.ClearField(field.name)
