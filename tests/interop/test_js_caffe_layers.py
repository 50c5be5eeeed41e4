"""What the JavaScript reader knows of Caffe's layers, against the schema and protobuf."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from cmodel.proto import caffe_pb2

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "spec/readers/js/caffe-layers.mjs"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def evaluate(script: str, *arguments: str) -> Any:
    """Return what a script gives, in which everything that the module exports is there."""
    text = f"""
        import * as layers from {json.dumps(MODULE.as_uri())};
        const {{ SCHEMA, ENUMS, layerFields }} = layers;
        console.log(JSON.stringify((() => {{ {script} }})()));
    """
    command = [str(NODE), "--input-type=module", "-e", text, "--", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_BOOL: "bool",
}


def default_of(field: FieldDescriptor) -> Any:
    if field.is_repeated:
        return []
    if field.message_type is not None:
        return None
    if field.enum_type is not None:
        return field.enum_type.values_by_number[field.default_value].name
    return field.default_value


def type_of(field: FieldDescriptor) -> str:
    kind = field.message_type or field.enum_type
    return kind.name if kind is not None else SCALARS[field.type]


def test_the_schema_is_that_of_the_proto_file():
    schema = evaluate("return Object.fromEntries(SCHEMA);")
    assert len(schema) > 30
    enums = evaluate("return ENUMS;")
    for message, fields in schema.items():
        descriptor = caffe_pb2.DESCRIPTOR.message_types_by_name[message]
        for field in fields:
            real = descriptor.fields_by_name[field["name"]]
            assert field["number"] == real.number
            assert field["type"] == type_of(real)
            assert field["repeated"] == real.is_repeated
            assert field.get("default") == pytest.approx(default_of(real)), real.full_name
            if real.enum_type is not None:
                assert enums[field["type"]] == {v.name: v.number for v in real.enum_type.values}


LAYERS = [
    """name: "conv" type: "Convolution" bottom: "a" top: "b" loss_weight: 0.5
       param { name: "w" lr_mult: 2 } param { decay_mult: 0 }
       convolution_param { num_output: 96 kernel_size: 11 kernel_size: 3 stride: 4 bias_term: false
                           dilation: 2 axis: -3 weight_filler { type: "xavier" } }""",
    """name: "pool" type: "Pooling" pooling_param { pool: AVE kernel_h: 3 kernel_w: 2 round_mode: FLOOR }""",
    """name: "in" type: "Input" input_param { shape { dim: 1 dim: 3 dim: -1 } shape { dim: 5000000000 } }""",
    """name: "lrn" type: "LRN" lrn_param { alpha: 0.0001 norm_region: WITHIN_CHANNEL }""",
    """name: "é" type: "Eltwise" phase: TEST eltwise_param { operation: MAX coeff: 1 coeff: -1.5 }""",
    """name: "split" type: "Split" """,
]


@pytest.mark.parametrize("text", LAYERS)
def test_fields_are_those_that_protobuf_reads(text):
    layer = text_format.Parse(text, caffe_pb2.LayerParameter())
    raw = layer.SerializeToString()
    script = "return layerFields(Uint8Array.from(Buffer.from(process.argv[1], 'hex')));"
    assert_same(evaluate(script, raw.hex()), layer)
    # Occurrences of a message are merged, as protobuf does.
    more = text_format.Parse(
        "convolution_param { num_output: 7 pad: 1 } name: 'x'", caffe_pb2.LayerParameter()
    )
    twice = caffe_pb2.LayerParameter.FromString(raw + more.SerializeToString())
    assert_same(evaluate(script, (raw + more.SerializeToString()).hex()), twice)


def assert_same(fields: dict[str, Any], message: Any) -> None:
    schema = message.DESCRIPTOR.fields_by_name
    for field, _ in message.ListFields():
        if not (field.name.endswith("_filler")):
            assert field.name in fields
    for name, value in fields.items():
        field, real = schema[name], getattr(message, name)
        if field.message_type is not None and field.is_repeated:
            assert len(value) == len(real)
            for one, other in zip(value, real, strict=True):
                assert_same(one, other)
        elif field.message_type is not None:
            assert message.HasField(name)
            assert_same(value, real)
        elif field.enum_type is not None:
            assert value == field.enum_type.values_by_number[real].name
        else:
            assert value == (list(real) if field.is_repeated else real)
