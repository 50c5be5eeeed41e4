"""The mean image: the cheapest coding that leaves the outputs as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.nets import toy_net
from tests.unit.compress.nets import apply, run

import cmodel
from cmodel.compress import Calibration, compress
from cmodel.compress.mean_image import choose_mean
from cmodel.container import size_of_form
from cmodel.data import Inputs, open_source, sample
from cmodel.errors import DataError, RecipeError
from cmodel.net import InputTransform
from cmodel.tensors import Dense, Linear


def mean_net(scale=(), size=8):
    """Return the toy net with a smooth mean image, and images as they are fed."""
    net = toy_net()
    rng = np.random.default_rng(2)
    y, x = np.mgrid[0:size, 0:size]
    mean = np.stack([110 + 5 * np.sin(x / 3 + c) + y for c in range(3)]).astype(np.float32)
    net.transform = InputTransform(mean_image=mean, scale=scale)
    factor = scale[0] if scale else 1.0
    x = (rng.normal(size=(40, 3, 8, 8)) * 60 * factor).astype(np.float32)
    for name in ("conv/0", "fc/0"):
        smaller = net.parameters[name].to_dense() * np.float32(0.02 / factor**0.5)
        net.parameters[name] = Dense(smaller)
    return net, x


@pytest.mark.parametrize("tolerance", [1e-5, 1e-4, 1e-2])
def test_the_choice_holds_its_tolerance_and_is_small(tolerance):
    net, x = mean_net()
    choice = choose_mean(net, Calibration(net, x), tolerance=tolerance, threads=1)
    assert choice.kl <= tolerance
    assert choice.size == size_of_form(choice.form) < 4 * 192
    shift = net.transform.mean_image - choice.form.to_dense()
    kl = cmodel.evaluate.compare(run(net, x, "prob"), run(net, x + shift, "prob")).kl
    assert kl == pytest.approx(choice.kl, rel=1e-3, abs=1e-9)


def test_a_larger_tolerance_takes_no_more_bytes():
    net, x = mean_net()
    sizes = [
        choose_mean(net, Calibration(net, x), tolerance=t, threads=1).size
        for t in (1e-7, 1e-5, 1e-3, 10.0)
    ]
    assert sizes == sorted(sizes, reverse=True)
    # Anything goes: a value for each channel.
    assert sizes[-1] <= 16 < sizes[0]


def test_scale_and_crop_are_those_of_the_transform():
    net, x = mean_net(scale=(0.5,), size=12)
    choice = choose_mean(net, Calibration(net, x), threads=1)
    change = (net.transform.mean_image - choice.form.to_dense()) * np.float32(0.5)
    moved = run(net, x + change[:, 2:10, 2:10], "prob")
    assert cmodel.evaluate.compare(run(net, x, "prob"), moved).kl == pytest.approx(
        choice.kl, rel=1e-3, abs=1e-9
    )


def test_the_step_stores_the_coded_mean_through_a_container(tmp_path):
    net, x = mean_net()
    packed = apply(net, "mean.image", data=x)
    assert packed.transform.mean_form is not None
    np.testing.assert_array_equal(
        packed.transform.mean_image, packed.transform.mean_form.to_dense()
    )
    assert packed.notes["facts"][":mean"]["mean.image"]["kl"] <= 1e-4
    cmodel.container.write(packed, tmp_path / "x.cmodel")
    cmodel.container.write(net, tmp_path / "y.cmodel")
    read = cmodel.container.read(tmp_path / "x.cmodel")
    np.testing.assert_array_equal(read.transform.mean_image, packed.transform.mean_image)
    assert type(read.transform.mean_form) is type(packed.transform.mean_form)
    sizes = [(tmp_path / f"{name}.cmodel").stat().st_size for name in "xy"]
    assert sizes[0] < sizes[1]
    # What is read and written again is the same file.
    cmodel.container.write(read, tmp_path / "z.cmodel")
    assert (tmp_path / "z.cmodel").read_bytes() == (tmp_path / "x.cmodel").read_bytes()


def test_a_net_without_a_mean_image_stays_as_it_is():
    net, x = mean_net()
    net.transform = InputTransform(mean_values=(1.0,))
    packed = apply(net, "mean.image", data=x)
    assert packed.transform == net.transform
    with pytest.raises(DataError, match="no mean image"):
        choose_mean(net, Calibration(net, x))
    with pytest.raises(RecipeError, match="needs images"):
        compress(net, cmodel.compress.parse_recipe('[[step]]\nmethod = "mean.image"', "r"))


def test_a_mean_smaller_than_the_images_is_refused():
    net, x = mean_net()
    net.transform = InputTransform(mean_image=net.transform.mean_image[:, :5])
    with pytest.raises(DataError, match="for inputs of"):
        choose_mean(net, Calibration(net, x))


def test_form_and_values_go_together():
    values = np.full((1, 2, 2), 3.0, np.float32)
    form = Linear(
        Dense(np.array([3.0], np.float32)), np.zeros(1, np.int32), np.ones((1, 2, 2), np.int8)
    )
    transform = InputTransform(mean_form=form)
    np.testing.assert_array_equal(transform.mean_image, values)
    with pytest.raises(ValueError, match="other values"):
        replace(transform, mean_image=values + 1)


@pytest.mark.data
def test_cifars_mean_image_takes_a_tenth_of_its_bytes(shared_data):
    data = shared_data / "data"
    place = data / "models/cifar10_full"
    net = cmodel.load(place / "deploy.prototxt", place / "cifar10_full_iter_70000.caffemodel")
    mean = cmodel.caffe.load_mean(place / "mean.binaryproto").reshape(3, 32, 32)
    net.transform = InputTransform(mean_image=mean, channel_order="rgb")
    source = open_source(data / "cifar10/train.zip")
    x = np.concatenate(
        list(Inputs(source, sample(len(source), 48, 0), net.transform, net.inputs["data"]))
    )
    choice = choose_mean(net, Calibration(net, x))
    assert choice.kl <= 1e-4
    assert choice.size <= 12288 // 10
