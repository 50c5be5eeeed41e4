"""Fuzz target: any bytes are weights or give an error of cmodel's.

pip install atheris
python tests/fuzz/fuzz_caffemodel.py -runs=100000 [a folder of caffemodels]
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cmodel"]):
    import cmodel
    from cmodel.caffe import read_caffemodel, read_weights, upgrade_layers
    from cmodel.errors import CmodelError

FOLDER = tempfile.TemporaryDirectory(prefix="cmodel-fuzz-")
NET = Path(FOLDER.name, "net.prototxt")
WEIGHTS = Path(FOLDER.name, "net.caffemodel")
NET.write_text(
    """input: "x" input_shape { dim: 1 dim: 2 dim: 3 dim: 3 }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c"
            convolution_param { num_output: 2 kernel_size: 3 } }
    layer { name: "o" type: "Odd" bottom: "c" top: "o" }
    layer { name: "f" type: "InnerProduct" bottom: "c" top: "f"
            inner_product_param { num_output: 2 bias_term: false } }"""
)
# HDF5 is the business of its own library, which fuzzes itself.
HDF5 = b"\x89HDF"


def one_input(data: bytes) -> None:
    if data.startswith(HDF5):
        return
    WEIGHTS.write_bytes(data)
    try:
        model = read_caffemodel(WEIGHTS)
        upgrade_layers(model.net())
    except CmodelError:
        model = None
    for record in model.layers if model else ():
        for blob in record.blobs:
            if blob.values().size != blob.size:
                raise AssertionError("a blob does not hold the values that it says")
    try:
        net = cmodel.load(NET, WEIGHTS)
    except CmodelError:
        return
    for name in net.parameters:
        if net.parameters[name].to_dense().shape != net.parameters.shape(name):
            raise AssertionError("a parameter does not have its shape")
    read_weights(WEIGHTS)


def main() -> None:
    sys.argv.append("-max_len=1024")
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
