"""The published models load, with every prototxt that lies beside them."""

from math import prod

import numpy as np
import pytest

from cmodel.caffe import load_mean, load_net, read_caffemodel
from cmodel.errors import CmodelError

pytestmark = pytest.mark.data

VALUES = {
    "cifar10_full": 89_578,
    "cifar10_quick": 145_578,
    "cifar10_resnet20": 273_677,
    "lenet300100_dns": 266_610,
    "lenet300100_mnist": 266_610,
    "lenet5_dns": 431_080,
    "lenet_bvlc": 431_080,
    "lenet_fashion": 431_080,
    "squeezenet_v1.0_han": 1_248_424,
    "squeezenet_v1.1": 1_235_496,
}


@pytest.mark.parametrize("name", VALUES)
def test_models_load(name, shared_data):
    folder = shared_data / "data" / "models" / name
    prototxts = sorted(folder.glob("*.prototxt"))
    weights = sorted(folder.glob("*.caffemodel"))
    assert prototxts
    assert weights
    for prototxt in prototxts:
        for path in weights:
            net = load_net(prototxt, path, strict=True)
            assert net.parameter_count() == VALUES[name]
            for key in net.parameters:
                values = net.parameters[key].to_dense()
                assert values.shape == net.parameters.shape(key)
                assert np.isfinite(values).all()


def test_forked_types_give_the_same_weights(shared_data):
    """The pruned LeNets' own types and Caffe's, matched by name."""
    folder = shared_data / "data" / "models" / "lenet5_dns"
    forked = read_caffemodel(folder / "caffe_lenet5_sparse.caffemodel")
    assert "CConvolution" in {layer.type for layer in forked.net().layer}
    deploy = folder / "deploy.prototxt"
    first = load_net(deploy, folder / "caffe_lenet5_sparse.caffemodel")
    second = load_net(deploy, folder / "lenet5_sparse_stdtypes.caffemodel")
    for name in first.parameters:
        np.testing.assert_array_equal(
            first.parameters[name].to_dense(), second.parameters[name].to_dense()
        )
    density = sum(np.count_nonzero(form.to_dense()) for form in first.parameters.values())
    assert density / first.parameter_count() < 0.02


@pytest.mark.parametrize("name", ["cifar10_full", "cifar10_quick"])
def test_mean_images_load(name, shared_data):
    mean = load_mean(shared_data / "data" / "models" / name / "mean.binaryproto")
    assert mean.shape == (3, 32, 32)
    assert 100 < mean.mean() < 140


def test_nets_of_all_layer_types_load(shared_data):
    golden = shared_data / "golden"
    folders = sorted(path.parent for path in golden.glob("**/deploy.prototxt"))
    folders = [f for f in folders if f.parent.name not in ("models", "formats")]
    assert len(folders) > 200
    for folder in folders:
        weights = folder / "weights.caffemodel"
        load_net(folder / "deploy.prototxt", weights if weights.exists() else None, strict=True)


def test_cut_at_every_hundredth(shared_data, tmp_path):
    """A cut is an error, or falls between layers and is missed by the layers that lack."""
    folder = shared_data / "data" / "models" / "lenet_bvlc"
    data = (folder / "lenet_iter_10000.caffemodel").read_bytes()
    path = tmp_path / "cut.caffemodel"
    for percent in range(100):
        path.unlink(missing_ok=True)
        path.write_bytes(data[: len(data) * percent // 100])
        with pytest.raises(CmodelError):
            load_net(folder / "deploy.prototxt", path, strict=True)


def test_shapes_of_blobs_hold_their_values(shared_data):
    for path in (shared_data / "data" / "models").glob("*/*.caffemodel"):
        for layer in read_caffemodel(path).layers:
            assert all(blob.size == prod(blob.shape) for blob in layer.blobs)
