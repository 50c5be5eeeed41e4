"""What forks add: told once, all together, with its places."""

import pytest

from cmodel import load
from cmodel.caffe.filter import net_state
from cmodel.caffe.forks import unknown_names
from cmodel.caffe.prototxt import parse_prototxt
from cmodel.errors import PrototxtError, UnsupportedError
from cmodel.proto import caffe_pb2

FORK = """name: "fork"
input: "x" input_shape { dim: 1 dim: 2 }
layer { name: "a" type: "Warp" bottom: "x" top: "a" warp_param { mode: FAST } }
layer { name: "b" type: "ReLU6x" bottom: "a" top: "b" }
layer { name: "c" type: "Warp" bottom: "b" top: "c" warp_param { mode: SLOW } }
layer { name: "t" type: "OnlyTrain" bottom: "c" top: "t" include { phase: TRAIN } }
solver_mode: GPU
"""
FIELDS = 'input: "x" input_shape { dim: 1 dim: 2 } odd: 1\nlayer { name: "r" type: "ReLU" bottom: "x" top: "y" relu_param { slope: 1 } }'


def names(text, phase="TEST"):
    return unknown_names(parse_prototxt(text), net_state(caffe_pb2.NetState(), phase, (), 0))


@pytest.fixture
def told(tmp_path):
    """Load a net without weights; return its warnings."""

    def told(text, **options):
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        warnings = []
        load(path, on_warning=warnings.append, **options)
        return warnings

    return told


def test_one_warning_names_all(told):
    (warning,) = told(FORK)
    lines = warning.splitlines()
    assert lines[0].startswith("the net has fields and layer types that are not known")
    assert lines[1].endswith("net.prototxt:3:25")
    assert lines[2:6] == [
        "  3:25 layer type `Warp`, 2 times",
        "  3:53 field `warp_param`, 2 times; did you mean `crop_param`?",
        "  4:25 layer type `ReLU6x`; did you mean `ReLU6`?",
        "  7:1 field `solver_mode`",
    ]
    assert "--allow-unknown" in lines[6]


def test_strict_and_allowed(told):
    with pytest.raises(UnsupportedError, match=r"3:25 layer type `Warp`") as caught:
        told(FORK, strict=True)
    assert caught.value.exit_code == 4
    with pytest.raises(
        PrototxtError, match=r"1:42 field `odd`(.|\n)*field `slope` in `relu_param`"
    ):
        told(FIELDS, strict=True)
    for strict in (False, True):
        assert told(FORK, allow_unknown=True, strict=strict) == []
        assert told(FIELDS, allow_unknown=True, strict=strict) == []


def test_layers_of_another_phase_are_of_no_concern():
    assert "OnlyTrain" not in {item.name for item in names(FORK)}
    assert "OnlyTrain" in {item.name for item in names(FORK, "TRAIN")}


def test_fields_are_summed_up():
    text = "layer { type: 'ReLU' param { odd: 1 } param { odd: 2 } relu_parm { } }\nname_: 'x'"
    found = names(text * 2)
    assert [(item.path, item.name, item.count, item.hint) for item in found] == [
        ("param", "odd", 4, None),
        ("", "relu_parm", 2, "did you mean `relu_param`?"),
        ("", "name_", 2, "did you mean `name`?"),
    ]
    assert found[2].line == 2


def test_names_are_taken_in_their_own_case_only():
    """So does Caffe: its parser folds the case of groups alone, and Caffe has none."""
    found = names("NAME: 'x' layer { Type: 'relu' type: 'RELU' Relu_Param { } }")
    assert [(item.name, item.hint) for item in found] == [
        ("NAME", "did you mean `name`?"),
        ("Type", "did you mean `type`?"),
        ("RELU", "did you mean `ReLU`?"),
        ("Relu_Param", "did you mean `relu_param`?"),
    ]


def test_a_long_list_is_cut(told):
    text = 'input: "x" input_shape { dim: 1 }' + "".join(f"\nodd{i}: 1" for i in range(500))
    (warning,) = told(text)
    assert "and 480 more" in warning
    assert len(warning.splitlines()) < 30


def test_a_layer_without_a_type():
    (item,) = names("layer { name: 'x' }")
    assert (item.name, item.line) == ("", 0)


@pytest.mark.parametrize("command", ["pack", "inspect", "infer", "eval"])
def test_the_commands_take_the_option(command, tmp_path, capsys):
    from cmodel.cli import main

    net = tmp_path / "net.prototxt"
    net.write_text(FIELDS)
    (tmp_path / "x.idx").write_bytes(b"")
    calls = {
        "pack": ["pack", net, "-o", tmp_path / "x.cmodel"],
        "inspect": ["inspect", net],
        "infer": ["infer", net, tmp_path / "x.idx"],
        "eval": ["eval", net, "--data", tmp_path / "x.idx"],
    }
    arguments = [str(part) for part in calls[command]]
    main(arguments)
    assert "field `odd`" in capsys.readouterr().err
    main([*arguments, "-f"] if command == "pack" else arguments)
    capsys.readouterr()
    main([*arguments, "--allow-unknown", *(["-f"] if command == "pack" else [])])
    assert "field `odd`" not in capsys.readouterr().err


def test_all_of_it_stays(told, tmp_path):
    """What is not known goes to a container and back."""
    from cmodel import save
    from cmodel.caffe import print_prototxt

    path = tmp_path / "net.prototxt"
    path.write_text(FORK)
    save(load(path), tmp_path / "net.cmodel")
    text = print_prototxt(load(tmp_path / "net.cmodel"))
    assert "warp_param { mode: FAST }" in text
    assert 'type: "ReLU6x"' in text
    assert "solver_mode: GPU" in text
