"""protobuf without its compiled part says otherwise that a string is not UTF-8."""

import os
import subprocess
import sys

import pytest

CODE = """
from cmodel.container.manifest import parse_manifest
from cmodel.errors import CmodelError
from cmodel.proto import manifest_pb2
field = manifest_pb2.Manifest.DESCRIPTOR.fields_by_name["network"].number
try:
    parse_manifest(bytes([field << 3 | 2, 3, 10, 1, 255]))
except CmodelError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("implementation", ["python", "upb"])
def test_name_that_is_not_utf8(implementation):
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, text=True, capture_output=True, check=False
    )
    assert done.stdout == "BadManifest\n", done.stderr
