"""`cmodel recipe` as a user meets it."""

from __future__ import annotations

import json

from cmodel.compress import load_recipe


def test_init_prints_a_recipe_or_writes_it(run, tmp_path):
    printed = run("recipe", "init", "--preset", "deep-compression", "--name", "mine")
    assert printed.status == 0
    out = tmp_path / "mine.toml"
    assert run("recipe", "init", "--preset", "deep-compression", "-o", out).status == 0
    assert out.read_text("utf-8") == printed.out
    assert load_recipe(out).name == "mine"
    again = run("recipe", "init", "-o", out)
    assert again.status == 2
    assert "exists" in again.err
    assert run("recipe", "init", "-o", out, "--force").status == 0
    assert load_recipe(out).steps[0].method.name == "quantize.linear"
    wrong = run("recipe", "init", "--preset", "linear9")
    assert wrong.status == 2
    assert "did you mean `linear8`" in wrong.err


def test_schema_prints_json(run, tmp_path):
    printed = run("recipe", "schema")
    assert json.loads(printed.out)["title"] == "cmodel recipe"
    out = tmp_path / "s.json"
    assert run("recipe", "schema", "-o", out, "--json").json["schema"] == "cmodel.recipe-schema/1"
    assert out.read_text("utf-8") == printed.out


def test_check_tells_what_each_step_selects_with_which_options(run, model, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        '[[step]]\nmethod = "quantize.kmeans"\nk = 4\n[step.type.Convolution]\nk = 8\n'
        '[[step]]\nmethod = "cast.half"\nselect = { kind = "biases" }\n'
    )
    assert run("recipe", "check", recipe).status == 0
    result = run("recipe", "check", recipe, "--model", model.prototxt, model.weights, "--json")
    assert result.status == 0, result.err
    first, second = result.json["steps"]
    assert [(p["name"], p["options"]["k"]) for p in first["parameters"]] == [
        ("conv/0", 8),
        ("fc/0", 4),
    ]
    assert [p["name"] for p in second["parameters"]] == ["conv/1", "fc/1"]
    assert first["certain"]
    assert not first["needs_images"]
    text = run("recipe", "check", recipe, "--model", model.prototxt, model.weights).out
    assert "conv/0" in text
    assert "k = 8" in text


def test_check_fails_as_pack_does(run, model, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[[step]]\nmethod = "cast.half"\nselect = { name = "conv1" }\n')
    checked = run("recipe", "check", recipe, "--model", model.prototxt, model.weights)
    packed = run(
        "pack", model.prototxt, model.weights, "--recipe", recipe, "-o", tmp_path / "x.cmodel"
    )
    assert checked.status == packed.status == 2
    assert checked.err == packed.err
    assert "did you mean `conv`" in checked.err


def test_what_comes_after_a_change_of_layers_is_marked(run, model, tmp_path):
    result = run("recipe", "check", "rdo", "--model", model.prototxt, model.weights)
    assert result.status == 0
    assert "conv/0 ?" in result.out
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        '[[step]]\nmethod = "prune.dead"\n[[step]]\nmethod = "cast.half"\nselect = { name = "x" }\n'
    )
    result = run("recipe", "check", recipe, "--model", model.prototxt, model.weights)
    assert result.status == 0
    assert "step 2, `cast.half`, selects nothing in the net as it is" in result.err


def test_wrong_calls(run, model, tmp_path):
    assert run("recipe").status == 2
    assert run("recipe", "check", "nosuch").status == 2
    result = run("recipe", "check", "linear8", "--model", "a", "b", "c")
    assert result.status == 2
    assert "DEPLOY WEIGHTS" in result.err
