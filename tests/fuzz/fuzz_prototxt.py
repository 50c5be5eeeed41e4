"""Fuzz target: any text is a net or gives an error of cmodel's, and a net prints as what it is.

pip install atheris
python tests/fuzz/fuzz_prototxt.py -runs=100000 [a folder of prototxts]
"""

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cmodel"]):
    import cmodel
    from cmodel.caffe import parse_prototxt, print_prototxt
    from cmodel.errors import CmodelError

FOLDER = tempfile.TemporaryDirectory(prefix="cmodel-fuzz-")
NET = Path(FOLDER.name, "net.prototxt")


def one_input(data: bytes) -> None:
    try:
        parse_prototxt(data)
    except CmodelError:
        return
    NET.write_bytes(data)
    try:
        net = cmodel.load(NET, require_weights=False)
    except CmodelError:
        return
    text = print_prototxt(net)
    NET.write_text(text, encoding="utf-8")
    again = cmodel.load(NET, require_weights=False)
    if print_prototxt(again) != text:
        raise AssertionError("a printed net does not read back as it was")


def main() -> None:
    sys.argv.append("-max_len=2048")
    dictionary = Path(FOLDER.name, "words.dict")
    dictionary.write_text(words())
    atheris.Setup([*sys.argv, f"-dict={dictionary}"], one_input)
    atheris.Fuzz()


def words() -> str:
    """Return the names of the schema, and the punctuation, as libFuzzer's dictionary."""
    from cmodel.net.shapes.registry import RULES
    from cmodel.proto import caffe_pb2

    names = {"TRAIN", "TEST", "true", "inf", "nan", "0x1F", "1e9", "# x"}
    for message in caffe_pb2.DESCRIPTOR.message_types_by_name.values():
        names.update(field.name for field in message.fields)
    names.update(f'type: \\"{name}\\"' for name in RULES)
    return "".join(f'"{name}"\n' for name in sorted(names)) + '"{"\n"}"\n"["\n"]"\n":"\n'


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
