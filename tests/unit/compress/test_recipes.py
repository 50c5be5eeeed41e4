"""Recipes, selectors, presets and the pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from tests.nets import toy_net

import cmodel
from cmodel.compress import compress, load_preset, load_recipe, parse_recipe, preset_names
from cmodel.compress.registry import method
from cmodel.errors import InputError, RecipeError, UsageError, WeightsError
from cmodel.tensors import Codebook, Dense, Linear, Sparse, Trellis

KMEANS = '[[step]]\nmethod = "quantize.kmeans"\n'


def compressed(text: str, **options):
    return compress(toy_net(), parse_recipe(text, "r.toml"), **options)


def codebooks(net) -> dict[str, int]:
    return {
        name: net.parameters[name].entries
        for name in net.parameters
        if isinstance(net.parameters[name], Codebook)
    }


def test_without_a_selector_all_weights_and_no_biases():
    assert codebooks(compressed(KMEANS + "k = 4")) == {"conv/0": 4, "fc/0": 4}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ('name = "fc"', {"fc/0"}),
        ('name = ["c*", "f?"]', {"conv/0", "fc/0"}),
        ('type = "Convolution"', {"conv/0"}),
        ('exclude = "conv"', {"fc/0"}),
        ('kind = "biases"', {"conv/1", "fc/1"}),
        ('kind = "all", name = "fc"', {"fc/0", "fc/1"}),
        ("min_size = 500", {"fc/0"}),
    ],
)
def test_selectors(select, expected):
    net = compressed(KMEANS + f"k = 2\nselect = {{ {select} }}")
    assert set(codebooks(net)) == expected


def test_name_beats_type_beats_global():
    text = KMEANS + 'k = 2\n[step.type.InnerProduct]\nk = 3\n[step.name."f*"]\nk = 5\n'
    assert codebooks(compressed(text)) == {"conv/0": 2, "fc/0": 5}
    text = KMEANS + "k = 2\n[step.type.InnerProduct]\nk = 3\n"
    assert codebooks(compressed(text)) == {"conv/0": 2, "fc/0": 3}


def test_a_selector_that_matches_nothing_is_an_error_with_a_hint():
    with pytest.raises(RecipeError) as caught:
        compressed(KMEANS + 'select = { name = "conv1" }')
    text = str(caught.value)
    assert "r.toml, step 1: select.name = conv1" in text
    assert "layers with parameters: conv, fc" in text
    assert "did you mean `conv`?" in text


def test_an_override_that_matches_nothing_is_an_error():
    with pytest.raises(RecipeError, match="options for `fcc` match no layer"):
        compressed(KMEANS + "[step.name.fcc]\nk = 2\n")


def test_steps_compose():
    text = '[[step]]\nmethod = "prune.magnitude"\ndensity = 0.5\n' + KMEANS + "k = 4\n"
    net = compressed(text)
    form = net.parameters["fc/0"]
    assert isinstance(form, Sparse)
    assert isinstance(form.values, Codebook)
    assert form.density == pytest.approx(0.5)
    assert isinstance(net.parameters["fc/1"], Dense)


def test_an_impossible_order_says_which_step():
    text = KMEANS + '[[step]]\nmethod = "prune.magnitude"\n'
    with pytest.raises(RecipeError, match=r"r\.toml, step 2"):
        compressed(text)


def test_the_result_depends_on_the_seed_and_on_nothing_else():
    text = KMEANS + 'k = 4\ninit = "random"\niterations = 1\n'
    first, again, other = (compressed(text, seed=seed) for seed in (3, 3, 4))
    one, same, else_ = (net.parameters["fc/0"].to_dense() for net in (first, again, other))
    assert (one == same).all()
    assert (one != else_).any()


def test_a_negative_seed_is_a_wrong_call():
    with pytest.raises(UsageError, match="seed"):
        compressed(KMEANS, seed=-1)
    with pytest.raises(UsageError, match="threads"):
        compressed(KMEANS, threads=0)


def test_the_net_given_is_unchanged():
    net = toy_net()
    compress(net, parse_recipe(KMEANS, "r"))
    assert all(isinstance(net.parameters[name], Dense) for name in net.parameters)
    assert net.notes == {}


def test_progress_tells_every_piece_of_work():
    events = []
    compressed(KMEANS + "k = 2", on_progress=events.append)
    assert [(event.done, event.total) for event in events] == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value):
    net = toy_net()
    weights = net.parameters["fc/0"].to_dense().copy()
    weights[2, 7] = value
    net.parameters["fc/0"] = Dense(weights)
    with pytest.raises(WeightsError, match=r"`fc/0` has 1 values(.|\n)*\(2, 7\)"):
        compress(net, parse_recipe(KMEANS, "r"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "at least one"),
        ("step = 3", r"\[\[step\]\]"),
        ("name = [", "not valid TOML"),
        ("nam = 'x'\n" + KMEANS, "did you mean `name`"),
        ("[[step]]\nk = 3", "names its method"),
        ('[[step]]\nmethod = "quantize.kmean"', "did you mean `quantize.kmeans`"),
        (KMEANS + "kk = 3", "no option `kk`"),
        (KMEANS + "select = 3", "select is a table"),
        (KMEANS + "select = { nam = 'x' }", "did you mean `name`"),
        (KMEANS + "select = { kind = 'x' }", "weights, biases, all"),
        (KMEANS + "select = { min_size = 0 }", "positive integer"),
        (KMEANS + "select = { name = 3 }", "a name or a list"),
        (KMEANS + "[step.type.Convolution]\nk = 0", "k is an integer"),
        (KMEANS + "type = 3", r"step\.type is a table"),
    ],
)
def test_wrong_recipes_are_named(text, match):
    with pytest.raises(RecipeError, match=match) as caught:
        parse_recipe(text, "r.toml")
    assert "r.toml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_recipe_files(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(KMEANS)
    assert load_recipe(path).name == "mine"
    with pytest.raises(InputError, match="cannot read"):
        load_recipe(tmp_path / "none.toml")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="UTF-8"):
        load_recipe(path)


def test_every_preset_works_and_is_named_as_its_file():
    plain = ["deep-compression", "int8", "kmeans-huffman", "linear8", "lossless", "low-rank", "rdo"]
    trained = ["deep-compression-full", "han2015", "smallest"]
    assert preset_names() == sorted(plain + trained)
    net = toy_net()
    images = np.random.default_rng(3).normal(size=(20, 3, 8, 8)).astype(np.float32)
    forms = {name: cmodel.compress(net, name, data=images).parameters["fc/0"] for name in plain}
    assert isinstance(forms["deep-compression"], Sparse)
    assert isinstance(forms["kmeans-huffman"], Codebook)
    assert isinstance(forms["linear8"], Linear)
    assert isinstance(forms["int8"], Linear)
    assert isinstance(forms["rdo"], Trellis)
    assert isinstance(forms["low-rank"], Trellis)
    assert all(load_preset(name).name == name for name in preset_names())


def test_a_recipe_by_name_or_path_or_neither(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(KMEANS + "k = 2")
    assert codebooks(cmodel.compress(toy_net(), path)) == {"conv/0": 2, "fc/0": 2}
    with pytest.raises(UsageError, match="did you mean `deep-compression`"):
        cmodel.compress(toy_net(), "deep-compresion")


def test_the_registry_refuses_duplicates():
    from cmodel.compress.methods.quantize_kmeans import Options

    with pytest.raises(ValueError, match="registered twice"):
        method("quantize.kmeans", Options)(lambda task: None)


def test_facts_of_a_method_that_runs_twice():
    """Each run keeps its own; the second would hide what the first has done."""
    step = '[[step]]\nmethod = "prune.magnitude"\ndensity = {}\nselect = {{ name = "fc" }}\n'
    net = compressed(step.format(0.5) + step.format(0.1))
    facts = net.notes["facts"]["fc/0"]
    assert list(facts) == ["prune.magnitude", "prune.magnitude#2"]
    assert facts["prune.magnitude"] != facts["prune.magnitude#2"]
