"""V0 and V1 nets become V2 as Caffe upgrades them."""

import pytest

from cmodel.caffe import parse_prototxt, upgrade_layers
from cmodel.errors import NetError, UnsupportedError
from cmodel.proto import caffe_pb2


def upgraded(text, **options):
    return [item.param for item in upgrade_layers(parse_prototxt(text).message, **options)]


def v2(text):
    return list(parse_prototxt(text).message.layer)


def test_v1_types_have_their_v2_names():
    known = list(caffe_pb2.V1LayerParameter.LayerType.keys())
    layers = upgraded("".join(f"layers {{ type: {name} }}" for name in known))
    names = {name: layer.type for name, layer in zip(known, layers, strict=True)}
    assert len(set(names.values())) == 40
    squeezed = {name: name.replace("_", "").lower() for name in names}
    squeezed["NONE"] = ""
    squeezed["SOFTMAX_LOSS"] = "softmaxwithloss"
    assert {name: value.lower() for name, value in names.items()} == squeezed


def test_v1_fields():
    assert upgraded(
        """
        layers { name: "c" type: CONVOLUTION bottom: "a" bottom: "b" top: "t"
          blobs_lr: 1 blobs_lr: 2 weight_decay: 3 param: "shared" blob_share_mode: STRICT
          blob_share_mode: PERMISSIVE include { phase: TEST } exclude { stage: "s" }
          loss_weight: 0.5 convolution_param { num_output: 5 kernel_h: 3 kernel_w: 2 } }
        """
    ) == v2(
        """
        layer { name: "c" type: "Convolution" bottom: "a" bottom: "b" top: "t"
          param { name: "shared" share_mode: STRICT lr_mult: 1 decay_mult: 3 }
          param { share_mode: PERMISSIVE lr_mult: 2 }
          include { phase: TEST } exclude { stage: "s" }
          loss_weight: 0.5 convolution_param { num_output: 5 kernel_h: 3 kernel_w: 2 } }
        """
    )


def test_v1_data_transformation_moves():
    assert upgraded(
        """
        layers { name: "d" type: DATA top: "d" data_param { source: "s" scale: 0.5 batch_size: 4
          mean_file: "m" crop_size: 7 mirror: true } }
        layers { name: "i" type: IMAGE_DATA top: "i" image_data_param { source: "s" scale: 2 } }
        layers { name: "h" type: HDF5_DATA top: "h" hdf5_data_param { source: "s" } }
        """
    ) == v2(
        """
        layer { name: "d" type: "Data" top: "d" data_param { source: "s" batch_size: 4 }
          transform_param { scale: 0.5 mean_file: "m" crop_size: 7 mirror: true } }
        layer { name: "i" type: "ImageData" top: "i" image_data_param { source: "s" }
          transform_param { scale: 2 } }
        layer { name: "h" type: "HDF5Data" top: "h" hdf5_data_param { source: "s" } }
        """
    )


def test_v0_fields():
    assert upgraded(
        """
        layers { layer { name: "d" type: "data" source: "s" batchsize: 5 scale: 0.5 meanfile: "m"
          cropsize: 6 mirror: true rand_skip: 3 } top: "d" top: "l" }
        layers { layer { name: "w" type: "window_data" source: "s" det_fg_threshold: 0.6
          det_context_pad: 16 det_crop_mode: "square" } top: "w" }
        layers { layer { name: "c" type: "conv" num_output: 3 biasterm: false kernelsize: 5
          stride: 2 pad: 1 group: 1 weight_filler { type: "gaussian" std: 0.5 } blobs_lr: 1
          weight_decay: 2 } bottom: "d" top: "c" }
        layers { layer { name: "p" type: "pool" pool: AVE kernelsize: 3 stride: 2 pad: 1 }
          bottom: "c" top: "p" }
        layers { layer { name: "n" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.2 k: 2 }
          bottom: "p" top: "n" }
        layers { layer { name: "x" type: "dropout" dropout_ratio: 0.3 } bottom: "n" top: "n" }
        layers { layer { name: "f" type: "innerproduct" num_output: 2 } bottom: "n" top: "f" }
        layers { layer { name: "k" type: "concat" concat_dim: 1 } bottom: "f" bottom: "f" top: "k" }
        layers { layer { name: "s" type: "softmax_loss" } bottom: "k" bottom: "l" }
        """
    ) == v2(
        """
        layer { name: "d" type: "Data" top: "d" top: "l"
          data_param { source: "s" batch_size: 5 rand_skip: 3 }
          transform_param { scale: 0.5 mean_file: "m" crop_size: 6 mirror: true } }
        layer { name: "w" type: "WindowData" top: "w" window_data_param { source: "s"
          fg_threshold: 0.6 context_pad: 16 crop_mode: "square" } }
        layer { name: "c" type: "Convolution" bottom: "d" top: "c"
          param { lr_mult: 1 decay_mult: 2 }
          convolution_param { num_output: 3 bias_term: false kernel_size: 5 stride: 2 pad: 1
            group: 1 weight_filler { type: "gaussian" std: 0.5 } } }
        layer { name: "p" type: "Pooling" bottom: "c" top: "p"
          pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
        layer { name: "n" type: "LRN" bottom: "p" top: "n"
          lrn_param { local_size: 3 alpha: 0.1 beta: 0.2 k: 2 } }
        layer { name: "x" type: "Dropout" bottom: "n" top: "n" dropout_param { dropout_ratio: 0.3 } }
        layer { name: "f" type: "InnerProduct" bottom: "n" top: "f"
          inner_product_param { num_output: 2 } }
        layer { name: "k" type: "Concat" bottom: "f" bottom: "f" top: "k"
          concat_param { concat_dim: 1 } }
        layer { name: "s" type: "SoftmaxWithLoss" bottom: "k" bottom: "l" }
        """
    )


PADDING = """
layers {{ layer {{ name: "pad" type: "padding" pad: 2 }} bottom: "a" top: "b" }}
layers {{ layer {{ name: "next" type: "{type}" }} bottom: "b" {more} top: "c" }}
"""


@pytest.mark.parametrize("kind", ["conv", "pool"])
def test_v0_padding_folds_into_the_next_layer(kind):
    (layer,) = upgraded(PADDING.format(type=kind, more=""))
    assert list(layer.bottom) == ["a"]
    pad = [layer.pooling_param.pad] if kind == "pool" else list(layer.convolution_param.pad)
    assert pad == [2]


def test_v0_padding_that_cannot_fold():
    with pytest.raises(NetError, match="`pad` stands before `next`"):
        upgraded(PADDING.format(type="relu", more=""))
    with pytest.raises(NetError, match="one bottom"):
        upgraded(PADDING.format(type="conv", more='bottom: "b"'))
    with pytest.raises(NetError, match="needs one bottom"):
        upgraded("layers { layer { name: 'pad' type: 'padding' } }")


def test_v0_fields_without_meaning_are_told():
    told = []
    layers = upgraded(
        "layers { layer { name: 'r' type: 'relu' kernelsize: 3 } }", on_warning=told.append
    )
    assert layers == v2("layer { name: 'r' type: 'ReLU' }")
    assert told == ["layer `r`: `kernelsize` has no meaning for the V0 type `relu` and is ignored"]


def test_unknown_v0_type():
    with pytest.raises(UnsupportedError, match="V0 layer type `convv`"):
        upgraded("layers { layer { name: 'c' type: 'convv' } }")


def test_v2_layers_stay_as_they_are():
    text = "layer { name: 'd' type: 'Data' data_param { scale: 2 } } layer { name: 'x' }"
    assert upgraded(text) == v2(text)
