from pathlib import Path

import pytest

from cmodel.errors import InputError, RecipeError
from cmodel.sweep import load_grid, parse_grid

NET = """
[[net]]
name = "toy"
prototxt = "toy.prototxt"
weights = "toy.caffemodel"
trained = true
data = "toy.npz"
"""
METHOD = """
[[method]]
[[method.step]]
method = "quantize.kmeans"
k = 8
"""


def parse(text):
    return parse_grid(text, "g.toml", Path())


def test_lists_are_multiplied_the_last_fastest():
    grid = parse(
        NET
        + """
[[method]]
name = "both"
[[method.step]]
method = "prune.magnitude"
density = [0.1, 0.2]
select = { type = ["Convolution", "InnerProduct"] }
[[method.step]]
method = "quantize.kmeans"
k = [4, 8]
[method.step.type.Convolution]
k = [16, 32]
[method.step.name."fc*"]
init = "linear"
"""
    )
    assert [s.label for s in grid.settings][:3] == [
        "prune.magnitude density=0.1 type=Convolution,InnerProduct + "
        "quantize.kmeans k=4 Convolution.k=16 fc*.init=linear",
        "prune.magnitude density=0.1 type=Convolution,InnerProduct + "
        "quantize.kmeans k=4 Convolution.k=32 fc*.init=linear",
        "prune.magnitude density=0.1 type=Convolution,InnerProduct + "
        "quantize.kmeans k=8 Convolution.k=16 fc*.init=linear",
    ]
    assert len(grid.settings) == 8
    assert {s.method for s in grid.settings} == {"both"}
    assert grid.settings[7].recipe == {
        "name": "both",
        "step": [
            {
                "method": "prune.magnitude",
                "density": 0.2,
                "select": {"type": ["Convolution", "InnerProduct"]},
            },
            {
                "method": "quantize.kmeans",
                "k": 8,
                "type": {"Convolution": {"k": 32}},
                "name": {"fc*": {"init": "linear"}},
            },
        ],
    }


def test_presets_and_nets_of_a_method():
    second = NET.replace('"toy"', '"other"')
    grid = parse(NET + second + METHOD + '[[method]]\npreset = "linear8"\nnets = "oth*"\n')
    assert [(n.name, s.label) for n, s in grid.pairs()] == [
        ("toy", "quantize.kmeans k=8"),
        ("other", "quantize.kmeans k=8"),
        ("other", "linear8"),
    ]


def test_calibration_is_shared_or_a_nets_own():
    own = '[net.calibration]\ndata = "mine.npy"\nimages = 3\n'
    grid = parse(
        '[calibration]\ndata = "c.npy"\n' + NET + NET.replace('"toy"', '"b"') + own + METHOD
    )
    assert [(n.calibration.data, n.calibration.images) for n in grid.nets] == [
        ("c.npy", 500),
        ("mine.npy", 3),
    ]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[[net]", "not valid TOML"),
        ("nets = 1", "no key `nets`"),
        (METHOD, r"at least one \[\[net\]\]"),
        (NET, r"at least one \[\[method\]\]"),
        ("net = 3" + METHOD, r"written \[\[net\]\]"),
        (NET + "mean-value = 3\n" + METHOD, "did you mean `mean_value`"),
        (NET.replace('name = "toy"', "") + METHOD, "states its name"),
        (NET.replace("trained = true", "") + METHOD, "whether its weights are trained"),
        (NET.replace("= true", '= "yes"') + METHOD, "whether its weights are trained"),
        (NET.replace('"toy.npz"', "3") + METHOD, "data is a text"),
        (NET + "limit = 0\n" + METHOD, "limit is a whole number"),
        (NET + "batch = true\n" + METHOD, "batch is a whole number"),
        (NET + 'scale = "x"\n' + METHOD, "scale is a number"),
        (NET + "gray = 1\n" + METHOD, "gray is true or false"),
        (NET.replace('data = "toy.npz"', "limit = 3") + METHOD, "there is none"),
        (NET + NET + METHOD, "two nets are called `toy`"),
        (NET + METHOD + METHOD, "two settings are alike"),
        ("calibration = 1" + NET + METHOD, "calibration is a table"),
        ("[calibration]\nimages = 3\n" + NET + METHOD, "names its data"),
        ('[calibration]\ndata = "toy.npz"\n' + NET + METHOD, "would judge as well"),
        (NET + '[[method]]\npreset = "linear9"\n', "there is no preset `linear9`"),
        (NET + "[[method]]\n", "either a preset or steps"),
        (NET + METHOD.replace("[[method]]\n", '[[method]]\npreset = "linear8"\n'), "either a pres"),
        (NET + METHOD.replace("kmeans", "kmean"), "did you mean `quantize.kmeans`"),
        (NET + METHOD.replace("k = 8", "k = []"), "empty list"),
        (NET + METHOD.replace("k = 8", "k = [8, 0]"), "k is an integer"),
        (NET + METHOD.replace("k = 8", "bits = 8"), "no option `bits`"),
        (NET + METHOD.replace("[[method]]\n", '[[method]]\nnets = "tou"\n'), "did you mean `toy`"),
        (
            NET + METHOD.replace("k = 8", f"k = {list(range(1, 400))}\nseed = {[1] * 400}"),
            "more than",
        ),
    ],
)
def test_bad_grids(text, match):
    with pytest.raises(RecipeError) as caught:
        parse(text)
    assert "g.toml" in str(caught.value)
    caught.match(match)


def test_a_grid_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot read it"):
        load_grid(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_grid(tmp_path / "b.toml")
