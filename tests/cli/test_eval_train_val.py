"""`cmodel eval train_val.prototxt --weights W`: the TEST data layer says all that is needed."""

import numpy as np
import pytest
from PIL import Image
from tests.nets import make_net
from tests.unit.data.making import encoded_datum, raw_datum, write_h5, write_lmdb

from cmodel.caffe import write_caffemodel, write_mean
from cmodel.tensors import Dense

CLASSES, SIDE, CROP = 6, 8, 6
RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (30, SIDE, SIDE, 3), dtype=np.uint8)
MEAN = RNG.uniform(0, 255, (3, SIDE, SIDE)).astype(np.float32)
LAYERS = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
        inner_product_param { num_output: 6 } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy"
        include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
TRAIN = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        data_param { source: "nowhere" } }
"""
CONV = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
FC = RNG.normal(size=(CLASSES, 4 * 4 * 4)).astype(np.float32)
TRANSFORM = 'transform_param { mirror: true crop_size: 6 mean_file: "mean.binaryproto" scale: 0.5 }'


def scores_of(planes):
    """The net in plain NumPy, for what it is fed."""
    windows = np.lib.stride_tricks.sliding_window_view(planes, (3, 3), (2, 3))
    conv = np.einsum("nchwij,ocij->nohw", windows, CONV)
    return conv.reshape(len(planes), -1) @ FC.T


def fed(images):
    """Caffe's transform at TEST: mean at the uncropped position, centre crop, scale."""
    planes = np.moveaxis(images, 3, 1)[:, ::-1].astype(np.float32)
    return ((planes - MEAN)[:, :, 1:7, 1:7]) * np.float32(0.5)


# Right for two images of three; the others are off by one.
BEST = scores_of(fed(IMAGES)).argmax(axis=1)
LABELS = np.where(np.arange(30) % 3, BEST, (BEST + 1) % CLASSES)
TOP1 = 100 * 20 / 30


@pytest.fixture
def folder(tmp_path):
    blobs = {"conv": [Dense(CONV), Dense(np.zeros(4, np.float32))]}
    blobs["fc"] = [Dense(FC), Dense(np.zeros(CLASSES, np.float32))]
    folder = tmp_path / "net"
    folder.mkdir()
    with (folder / "w.caffemodel").open("wb") as file:
        write_caffemodel(make_net(LAYERS, blobs), file)
    with (folder / "mean.binaryproto").open("wb") as file:
        write_mean(MEAN, file)
    return folder


@pytest.fixture
def evaluate(run, folder):
    def evaluate(data_layer, *extra):
        prototxt = folder / "train_val.prototxt"
        prototxt.write_text(TRAIN + data_layer + LAYERS)
        return run("eval", prototxt, "--weights", folder / "w.caffemodel", "--json", *extra)

    return evaluate


def data_layer(kind, param, transform=TRANSFORM):
    return (
        f'layer {{ name: "data" type: "{kind}" top: "data" top: "label" '
        f"include {{ phase: TEST }} {transform} {param} }}"
    )


LMDB = data_layer("Data", 'data_param { source: "db" batch_size: 7 backend: LMDB }')


@pytest.mark.parametrize("datum", [raw_datum, encoded_datum])
def test_lmdb(evaluate, folder, datum):
    write_lmdb(folder / "db", [datum(*pair) for pair in zip(IMAGES, LABELS, strict=True)])
    result = evaluate(LMDB)
    assert result.status == 0, result.err
    assert result.err == ""
    assert result.json["images"] == 30
    assert result.json["top1"] == pytest.approx(TOP1)


def test_image_list(evaluate, folder):
    (folder / "images").mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / "images" / f"{i}.png")
    lines = [f"{i}.png {label}" for i, label in enumerate(LABELS)]
    (folder / "list.txt").write_text("\n".join(lines))
    param = 'image_data_param { source: "list.txt" root_folder: "images/" batch_size: 4 }'
    result = evaluate(data_layer("ImageData", param))
    assert result.status == 0, result.err
    assert result.json["top1"] == pytest.approx(TOP1)


def test_image_list_from_the_working_directory(evaluate, folder, monkeypatch):
    (folder.parent / "images").mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder.parent / "images" / f"{i}.png")
    lines = [f"images/{i}.png {label}" for i, label in enumerate(LABELS)]
    (folder.parent / "lists").mkdir()
    (folder.parent / "lists" / "val.txt").write_text("\n".join(lines))
    monkeypatch.chdir(folder.parent)
    param = 'image_data_param { source: "lists/val.txt" }'
    result = evaluate(data_layer("ImageData", param))
    assert result.status == 0, result.err
    assert result.json["top1"] == pytest.approx(TOP1)


def test_hdf5_list(evaluate, folder):
    x = fed(IMAGES)
    write_h5(folder / "a.h5", data=x[:11], label=LABELS[:11])
    write_h5(folder / "b.h5", data=x[11:], label=LABELS[11:])
    (folder / "list.txt").write_text("a.h5\nb.h5\n")
    layer = data_layer("HDF5Data", 'hdf5_data_param { source: "list.txt" batch_size: 9 }', "")
    result = evaluate(layer)
    assert result.status == 0, result.err
    assert result.json["top1"] == pytest.approx(TOP1)
    assert evaluate(layer, "--scale", "2").status == 2


def test_hdf5_blobs_by_other_names(run, evaluate, folder):
    write_h5(folder / "a.h5", x=fed(IMAGES), y=LABELS)
    text = data_layer("HDF5Data", 'hdf5_data_param { source: "a.h5" }', "") + LAYERS
    text = text.replace('"data" top: "label"', '"x" top: "y"', 1)
    text = text.replace('bottom: "data"', 'bottom: "x"').replace('bottom: "label"', 'bottom: "y"')
    (folder / "other.prototxt").write_text(text)
    result = run("eval", folder / "other.prototxt", "--weights", folder / "w.caffemodel", "--json")
    assert result.status == 0, result.err
    assert result.json["top1"] == pytest.approx(TOP1)


def test_batches_are_the_layers_unless_stated(evaluate, folder, monkeypatch):
    import cmodel.evaluate.accuracy as module

    write_lmdb(folder / "db", [raw_datum(*pair) for pair in zip(IMAGES, LABELS, strict=True)])
    seen = []
    original = module.batches

    def batches(source, indices, transform, shape, batch, **options):
        seen.append(batch)
        return original(source, indices, transform, shape, batch, **options)

    monkeypatch.setattr(module, "batches", batches)
    assert evaluate(LMDB).status == 0
    assert evaluate(LMDB, "--batch", "4").status == 0
    assert seen == [7, 4]


def test_other_data_than_the_layers(evaluate, folder):
    """Mean, crop and scale are the layer's all the same, even one whose source is unsupported."""
    np.savez(folder / "x.npz", x=IMAGES, y=LABELS)
    for layer in (LMDB, data_layer("WindowData", 'window_data_param { source: "w.txt" }')):
        result = evaluate(layer, "--data", folder / "x.npz")
        assert result.status == 0, result.err
        assert result.json["top1"] == pytest.approx(TOP1)


def test_channel_order_of_planes(evaluate, folder):
    write_lmdb(folder / "db", [raw_datum(IMAGES[0], 0)])
    result = evaluate(LMDB, "--channel-order", "rgb")
    assert result.status == 2
    assert "holds planes" in result.err


def test_unsupported_sources(evaluate, folder):
    result = evaluate(data_layer("WindowData", 'window_data_param { source: "w.txt" }'))
    assert result.status == 4
    assert "WindowData" in result.err
    (folder / "db").mkdir()
    (folder / "db" / "CURRENT").write_text("MANIFEST-000002\n")
    result = evaluate(LMDB)
    assert result.status == 4
    assert "LevelDB" in result.err


def test_sources_that_are_not_there(evaluate):
    result = evaluate(LMDB)
    assert result.status == 3
    assert "db" in result.err
    result = evaluate(data_layer("MemoryData", "memory_data_param { batch_size: 3 }"))
    assert result.status == 2
    assert "--data" in result.err
