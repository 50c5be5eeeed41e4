"""The JSON Schema of recipes, and the recipes that `recipe init` writes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from cmodel.compress import find_method, load_preset, method_names, parse_recipe, preset_names
from cmodel.compress.describe import options_of, summary_of
from cmodel.compress.recipe import preset_text
from cmodel.compress.schema import recipe_schema
from cmodel.compress.template import recipe_template

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RECIPES = {
    f"{page.name} {number}": text
    for page in PAGES
    for number, text in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.S))
    if "[[step]]" in text
}


@pytest.fixture(scope="module")
def validator():
    schema = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", preset_names())
def test_presets_follow_the_schema(validator, name):
    validator.validate(tomllib.loads(preset_text(name)))


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_in_the_documentation_follow_the_schema_and_parse(validator, name):
    validator.validate(tomllib.loads(RECIPES[name]))
    parse_recipe(RECIPES[name], name)


def test_there_are_recipes_in_the_documentation():
    assert RECIPES


@pytest.mark.parametrize("name", method_names())
def test_the_defaults_of_each_method_follow_the_schema(validator, name):
    values = {o.name: o.default for o in options_of(find_method(name)) if o.default is not None}
    step = {"method": name, **values, "type": {"Convolution": values}, "name": {"c*": values}}
    validator.validate({"name": "x", "step": [step]})


STEP = '[[step]]\nmethod = "quantize.kmeans"\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "step = []",
        "[[step]]\nk = 3",
        "nam = 'x'\n" + STEP,
        '[[step]]\nmethod = "quantize.kmean"',
        STEP + "kk = 3",
        STEP + "k = 0",
        STEP + "k = 65537",
        STEP + "k = 'many'",
        STEP + "init = 'x'",
        STEP + "optional = 1",
        STEP + "select = 3",
        STEP + "select = { nam = 'x' }",
        STEP + "select = { kind = 'x' }",
        STEP + "select = { min_size = 0 }",
        STEP + "select = { name = [] }",
        STEP + "[step.type.Convolution]\nk = 0",
        STEP + "[step.name.conv1]\nkk = 1",
        '[[step]]\nmethod = "prune.magnitude"\ndensity = 0',
        '[[step]]\nmethod = "quantize.rdo"\nkeep_zeros = "some"',
        '[[step]]\nmethod = "quantize.rdo"\nfisher = -0.5',
    ],
)
def test_what_the_parser_refuses_the_schema_refuses_too(validator, text):
    assert not validator.is_valid(tomllib.loads(text))
    with pytest.raises(Exception, match=r"."):
        parse_recipe(text, "r.toml")


# Strings that name layers, blobs and files.
FREE = ("freeze", "guided", "hint", "prototxt")


@pytest.mark.parametrize("name", method_names())
def test_every_option_is_described_with_what_it_may_be(name):
    entry = find_method(name)
    assert summary_of(entry).endswith(".")
    for option in options_of(entry):
        assert len(option.description) > 5, option.name
        numeric = {int, float} & set(option.types)
        if numeric:
            assert option.rule.high is not None, option.name
        if str in option.types and option.name not in FREE:
            assert len(option.words) >= 1, option.name


def test_a_range_that_is_open_below_is_told_as_one():
    by_name = {o.name: o for o in options_of(find_method("quantize.rdo"))}
    assert (by_name["step"].rule.above, by_name["step"].rule.low) == (0, None)
    assert (by_name["fisher"].rule.above, by_name["fisher"].rule.low) == (None, 0)
    assert by_name["trellis"].values == 'true, false or "auto"'


@pytest.mark.parametrize("name", preset_names())
def test_a_template_does_what_its_preset_does_and_shows_every_option(name):
    text = recipe_template(name, "mine")
    made, preset = parse_recipe(text, "t"), load_preset(name)
    assert made.name == "mine"
    assert made.source["step"] == preset.source["step"]
    for step in made.steps:
        for option in options_of(step.method):
            assert re.search(rf"^(# )?{option.name} = ", text, re.M), option.name


@pytest.mark.parametrize("name", preset_names())
def test_the_options_of_a_template_may_be_uncommented(name):
    text = recipe_template(name, "mine")
    # One at a time: some exclude each other.
    for line in re.findall(r"^# \w+ = (?!\.\.\.).*  # .*$", text, re.M):
        parse_recipe(text.replace(line, line[2:], 1), "t")
