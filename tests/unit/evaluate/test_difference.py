import numpy as np
import pytest
from tests.nets import TOY, make_net, toy_net

from cmodel.compress import compress
from cmodel.engine import Engine
from cmodel.errors import UsageError
from cmodel.evaluate import difference as differ
from cmodel.tensors import Dense


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(10, 3, 8, 8)).astype(np.float32)


def difference(a, b, *args, **options):
    return differ(a, b, (Engine(a), Engine(b)), *args, **options)


def blobs(found):
    return {blob.name: blob for blob in found.blobs}


def test_a_net_and_itself(x):
    found = difference(toy_net(), toy_net(), x, np.arange(10) % 6, batch=4)
    assert found.images == 10
    assert found.parts is None
    assert [(p.relative, p.largest) for p in found.parameters] == [(0.0, 0.0)] * 4
    assert [(b.name, b.layer, b.relative) for b in found.blobs] == [
        ("conv", "conv", 0.0),
        ("fc", "fc", 0.0),
        ("prob", "prob", 0.0),
    ]
    assert all(blob.cosine == pytest.approx(1) for blob in found.blobs)
    assert found.comparison.agreement == 100.0
    assert found.comparison.loss == 0.0


def test_errors_and_where_they_part(x):
    a, b = toy_net(), toy_net()
    changed = b.parameters["fc/0"].to_dense().copy()
    changed[2, 5] += 3
    b.parameters["fc/0"] = Dense(changed)
    found = difference(a, b, x, batch=3)
    parameters = {p.name: p for p in found.parameters}
    weights = a.parameters["fc/0"].to_dense().astype(float)
    assert parameters["fc/0"].relative == pytest.approx(3 / np.linalg.norm(weights), rel=1e-5)
    assert parameters["fc/0"].largest == pytest.approx(3, rel=1e-5)
    assert parameters["conv/0"].relative == 0.0
    assert found.parts == "fc"
    one, two = (Engine(net).run({"data": x}, "fc")["fc"].astype(float) for net in (a, b))
    blob = blobs(found)["fc"]
    # What is fused depends on the blobs that are asked for: the last bits differ.
    assert blob.relative == pytest.approx(np.linalg.norm(two - one) / np.linalg.norm(one), rel=1e-5)
    cosine = (one * two).sum() / np.linalg.norm(one) / np.linalg.norm(two)
    assert blob.cosine == pytest.approx(cosine, rel=1e-6)
    assert difference(a, b, x, threshold=1e9).parts is None
    assert found.comparison.top1 is None


def test_forms_and_bytes(x):
    packed = compress(toy_net(), "linear8")
    (weights,) = (p for p in difference(toy_net(), packed, x).parameters if p.name == "fc/0")
    assert weights.forms == ("dense", "linear")
    assert weights.sizes[0] > 6 * 144 * 3
    assert weights.sizes[1] < weights.sizes[0] / 2
    assert 0 < weights.relative < 0.02


def test_nets_of_different_structure(x):
    text = TOY.replace("num_output: 4 kernel_size: 3", "num_output: 5 kernel_size: 3").replace(
        'name: "prob" type: "Softmax" bottom: "fc" top: "prob"',
        'name: "soft" type: "Softmax" bottom: "fc" top: "soft"',
    )
    rng = np.random.default_rng(2)

    def dense(*shape):
        return Dense(rng.normal(size=shape).astype(np.float32))

    other = make_net(text, {"conv": [dense(5, 3, 3, 3), dense(5)], "fc": [dense(6, 180)]})
    other.layer("fc").param.inner_product_param.bias_term = False
    found = difference(toy_net(), other, x)
    parameters = {p.name: p for p in found.parameters}
    assert parameters["conv/0"].shapes == ((4, 3, 3, 3), (5, 3, 3, 3))
    assert parameters["conv/0"].relative is None
    assert parameters["fc/1"].shapes == ((6,), None)
    assert parameters["fc/1"].forms == ("dense", None)
    assert found.only_a == ("prob",)
    assert found.only_b == ("soft",)
    assert blobs(found)["conv"].relative is None
    assert blobs(found)["fc"].relative > 0
    assert found.parts == "conv"
    assert found.comparison is not None


def test_values_that_are_not_finite(x):
    b = toy_net()
    b.parameters["conv/1"] = Dense(np.full(4, np.nan, np.float32))
    found = difference(toy_net(), b, x)
    assert found.parts == "conv"
    assert blobs(found)["conv"].relative == np.inf
    assert found.comparison.kl == np.inf


def test_a_net_with_two_inputs_is_refused(x):
    two = make_net('input: "a" input: "b" ' + TOY, {})
    with pytest.raises(UsageError, match="the second net has 3 inputs: a, b, data"):
        difference(toy_net(), two, x)
