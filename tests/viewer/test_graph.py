"""The graph of a network: what stands in one box, that edges go down, that nothing overlaps."""

from __future__ import annotations

import random

import pytest
from tests.viewer.node import NODE, evaluate

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

SCRIPT = """
    return argument.map((layers) => {
        const built = graph.buildGraph(layers);
        return { ...built, places: graph.placeGraph(built), gap: graph.BOX };
    });
"""


def layer(name, bottoms, tops, kind="X"):
    return {"key": name, "type": kind, "bottoms": bottoms, "tops": tops}


def draw(*nets):
    return evaluate(SCRIPT, {"graph": "viewer/src/graph.mjs"}, nets)


FIRE = [
    layer("data", [], ["data"]),
    layer("squeeze", ["data"], ["s"]),
    layer("relu", ["s"], ["s"]),
    layer("left", ["s"], ["l"]),
    layer("left_relu", ["l"], ["l"]),
    layer("left_drop", ["l"], ["l"]),
    layer("right", ["s"], ["r"]),
    layer("concat", ["l", "r"], ["c"]),
]


def random_net(seed):
    """Branches, skips, in-place layers and several inputs."""
    rng = random.Random(seed)
    layers, blobs = [], []
    for number in range(60):
        if not blobs or rng.random() < 0.05:
            layers.append(layer(f"in{number}", [], [f"b{number}"]))
        elif rng.random() < 0.25:
            blob = rng.choice(blobs)
            layers.append(layer(f"l{number}", [blob], [blob]))
            continue
        else:
            bottoms = rng.sample(blobs[-8:], min(len(blobs), rng.choice([1, 1, 1, 2, 3])))
            layers.append(layer(f"l{number}", bottoms, [f"b{number}"]))
        blobs.append(f"b{number}")
    return layers


def test_layers_in_place_stand_with_the_layer_that_they_change():
    (found,) = draw(FIRE)
    assert [box["layers"] for box in found["boxes"]] == [[0], [1, 2], [3, 4, 5], [6], [7]]
    assert found["edges"] == [[0, 1], [1, 2], [1, 3], [2, 4], [3, 4]]


def test_a_layer_in_place_after_others_have_read_has_its_own_box():
    (found,) = draw(
        [
            layer("a", [], ["x"]),
            layer("b", ["x"], ["y"]),
            layer("c", ["x"], ["x"]),
            layer("d", ["x", "y"], ["z"]),
        ]
    )
    assert [box["layers"] for box in found["boxes"]] == [[0], [1], [2], [3]]
    assert found["edges"] == [[0, 1], [0, 2], [2, 3], [1, 3]]


def test_a_chain_is_straight_and_a_fork_is_even():
    (found,) = draw(FIRE)
    x = [box["x"] for box in found["places"]["boxes"]]
    assert x[0] == pytest.approx(x[1]) == pytest.approx(x[4])
    assert x[1] - x[2] == pytest.approx(x[3] - x[1])


def test_nothing_overlaps_and_all_edges_go_down():
    nets = [FIRE, *(random_net(seed) for seed in range(25))]
    for found in draw(*nets):
        places, gap = found["places"], found["gap"]
        for i, a in enumerate(places["boxes"]):
            assert a["x"] - a["width"] / 2 >= -1e-6
            assert a["x"] + a["width"] / 2 <= places["width"] + 1e-6
            assert a["y"] + a["height"] <= places["height"] + 1e-6
            for b in places["boxes"][:i]:
                apart = abs(a["x"] - b["x"]) >= (a["width"] + b["width"]) / 2 + gap["gapX"] - 1e-6
                assert apart or a["y"] >= b["y"] + b["height"] or b["y"] >= a["y"] + a["height"]
        for (start, end), points in zip(found["edges"], places["edges"], strict=True):
            a, b = places["boxes"][start], places["boxes"][end]
            assert points[0] == {"x": a["x"], "y": a["y"] + a["height"]}
            assert points[-1] == {"x": b["x"], "y": b["y"]}
            heights = [point["y"] for point in points]
            assert heights == sorted(heights)


def test_empty_nets_and_nets_of_one_layer():
    empty, single = draw([], [layer("only", [], [])])
    assert empty["places"]["height"] == 0
    assert len(single["places"]["boxes"]) == 1
