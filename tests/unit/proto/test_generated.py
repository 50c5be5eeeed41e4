"""The generated code is that of the proto files."""

import importlib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parents[3]
PROTOS = sorted((ROOT / "proto" / "cmodel").glob("*.proto"))


def compiled(path, folder):
    """Compile a proto file with the grpcio-tools at hand, as protoc's own descriptor."""
    protoc = pytest.importorskip("grpc_tools.protoc")
    out = folder / "set.bin"
    well_known = resources.files("grpc_tools") / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={ROOT / 'proto'}",
            f"--proto_path={well_known}",
            f"--descriptor_set_out={out}",
            path.relative_to(ROOT / "proto").as_posix(),
        ]
    )
    assert status == 0
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    assert len(files) == 1
    return files[0]


def normal(descriptor):
    """Even out what generators write differently: JSON names, the digits of float defaults."""

    def walk(messages):
        for message in messages:
            for field in message.field:
                field.ClearField("json_name")
                if field.type == field.TYPE_FLOAT and field.HasField("default_value"):
                    field.default_value = str(np.float32(field.default_value))
            walk(message.nested_type)

    walk(descriptor.message_type)
    return descriptor


@pytest.mark.parametrize("path", PROTOS, ids=[path.stem for path in PROTOS])
def test_generated_code_matches_proto(path, tmp_path):
    module = importlib.import_module(f"cmodel.proto.{path.stem}_pb2")
    generated = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    assert module.DESCRIPTOR.name == f"cmodel/{path.name}"
    assert normal(generated) == normal(compiled(path, tmp_path))


def test_some_proto_was_found():
    assert [path.name for path in PROTOS][:1] == ["caffe.proto"]
