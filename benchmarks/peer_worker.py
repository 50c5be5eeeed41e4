"""One engine in a process of its own, driven by benchmarks/peers.py over pipes.

    python benchmarks/peer_worker.py ENGINE FOLDER THREADS BATCH

FOLDER holds model.onnx, deploy.prototxt, weights.caffemodel and input.npy. The net is loaded and
run; the output goes to FOLDER/output-ENGINE.npy. A line of JSON answers with the version. Then each
line "SECONDS" on stdin is answered by the median of runs that take so long together. What the
libraries print goes to stderr.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
Runner = Callable[[Array], Array]

# A run that takes longer than this needs none before it that warms the caches.
WARM_BELOW = 0.05
TOOL_SECONDS = 300


def _tool(folder: Path, name: str, *arguments: str) -> None:
    """Run a converter that lies beside the interpreter; what it leaves behind goes to a folder."""
    tool = Path(sys.executable).with_name(name)
    command = [str(tool), *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TOOL_SECONDS,
    )
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{name} ended with {done.returncode}: {last}")


def cmodel(folder: Path, threads: int, batch: int, math: str = "exact") -> Runner:
    from cmodel import Engine, load

    net = load(folder / "deploy.prototxt", folder / "weights.caffemodel")
    engine = Engine(net, threads=threads, math=math)
    (feed,), (output,) = net.inputs, net.outputs
    return lambda x: engine.run({feed: x})[output]


def cmodel_fast(folder: Path, threads: int, batch: int) -> Runner:
    return cmodel(folder, threads, batch, "fast")


def cmodel_int8(folder: Path, threads: int, batch: int) -> Runner:
    from cmodel import Engine, load

    net = load(folder / "packed.cmodel")
    engine = Engine(net, threads=threads, math="int8")
    (feed,), (output,) = net.inputs, net.outputs
    return lambda x: engine.run({feed: x})[output]


def onnxruntime(folder: Path, threads: int, batch: int) -> Runner:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(folder / "model.onnx", options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def openvino(folder: Path, threads: int, batch: int) -> Runner:
    import openvino as ov

    core = ov.Core()
    model = core.read_model(folder / "model.onnx")
    shape = model.input(0).partial_shape
    shape[0] = batch
    model.reshape(shape)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda x: request.infer([x], share_inputs=True)[0]


def opencv(folder: Path, threads: int, batch: int) -> Runner:
    import cv2

    cv2.setNumThreads(threads)
    prototxt, weights = folder / "deploy.prototxt", folder / "weights.caffemodel"
    net = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)

    def run(x: Array) -> Array:
        net.setInput(x)
        return net.forward()

    return run


def _with_ceil_mode(source: Path, target: Path) -> None:
    """Write the model with ceil_mode where pools pad at the end only: pnnx knows no other way."""
    import onnx

    model = onnx.load(source)
    for node in model.graph.node:
        pads = next((a for a in node.attribute if a.name == "pads"), None)
        if node.op_type in ("AveragePool", "MaxPool") and pads and list(pads.ints) == [0, 0, 1, 1]:
            node.attribute.remove(pads)
            node.attribute.append(onnx.helper.make_attribute("ceil_mode", 1))
    onnx.save(model, target)


def ncnn(folder: Path, threads: int, batch: int) -> Runner:
    import ncnn as nc

    x = np.load(folder / "input.npy")
    shape = ",".join(map(str, (1, *x.shape[1:])))
    if not (folder / "ncnn.ncnn.bin").exists():
        _with_ceil_mode(folder / "model.onnx", folder / "ncnn.onnx")
        _tool(folder, "pnnx", str(folder / "ncnn.onnx"), f"inputshape=[{shape}]", "fp16=0")
    net = nc.Net()
    net.opt.num_threads = threads
    # All compute in float32.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(str(folder / "ncnn.ncnn.param")):
        raise RuntimeError("ncnn refuses the .param file")
    if net.load_model(str(folder / "ncnn.ncnn.bin")):
        raise RuntimeError("ncnn refuses the .bin file")
    (feed,), (output,) = net.input_names(), net.output_names()

    def run_one(image: Array) -> Array:
        with net.create_extractor() as extractor:
            extractor.input(feed, nc.Mat(image))
            status, out = extractor.extract(output)
            if status:
                raise RuntimeError(f"ncnn's extract returned {status}")
            return np.array(out)

    # ncnn knows no batch: its images run one after another.
    return lambda images: np.stack([run_one(image) for image in images])


def mnn(folder: Path, threads: int, batch: int) -> Runner:
    import MNN

    path = folder / "model.mnn"
    if not path.exists():
        _tool(folder, "mnnconvert", "-f", "ONNX", "--modelFile", str(folder / "model.onnx"),
              "--MNNModel", str(path), "--bizCode", "bench")  # fmt: skip
    interpreter = MNN.Interpreter(str(path))
    session = interpreter.createSession(
        {"backend": "CPU", "numThread": threads, "precision": "high"}
    )
    feed = interpreter.getSessionInput(session)
    shape = np.load(folder / "input.npy").shape
    interpreter.resizeTensor(feed, shape)
    interpreter.resizeSession(session)
    output = interpreter.getSessionOutput(session)
    kind, order = MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Caffe
    host = MNN.Tensor(output.getShape(), kind, np.zeros(output.getShape(), np.float32), order)

    def run(x: Array) -> Array:
        feed.copyFrom(MNN.Tensor(shape, kind, x, order))
        interpreter.runSession(session)
        output.copyToHostTensor(host)
        return np.array(host.getNumpyData(), np.float32)

    return run


def torch(folder: Path, threads: int, batch: int) -> Runner:
    import torch as pt
    from peer_torch import OnnxModule

    pt.set_num_threads(threads)
    pt.set_grad_enabled(False)
    module = OnnxModule(str(folder / "model.onnx")).eval()
    x = pt.from_numpy(np.load(folder / "input.npy"))
    traced = pt.jit.freeze(pt.jit.trace(module, x))
    return lambda x: traced(pt.from_numpy(x)).numpy()


def float64(folder: Path, threads: int, batch: int) -> Runner:
    """PyTorch in float64: what the outputs of all others are held against."""
    import torch as pt
    from peer_torch import OnnxModule

    pt.set_num_threads(threads)
    pt.set_grad_enabled(False)
    module = OnnxModule(str(folder / "model.onnx"), pt.float64).eval()
    return lambda x: module(pt.from_numpy(x).double()).numpy()


# The function that loads a net, and the distribution whose version is told.
ENGINES: dict[str, tuple[Callable[[Path, int, int], Runner], str]] = {
    "cmodel-exact": (cmodel, ""),
    "cmodel-fast": (cmodel_fast, ""),
    "cmodel-int8": (cmodel_int8, ""),
    "onnxruntime": (onnxruntime, "onnxruntime"),
    "openvino": (openvino, "openvino"),
    "ncnn": (ncnn, "ncnn"),
    "mnn": (mnn, "mnn"),
    "opencv": (opencv, "opencv-python-headless"),
    "torch": (torch, "torch"),
    "float64": (float64, "torch"),
}


def version(distribution: str) -> str:
    if distribution:
        return importlib.metadata.version(distribution)
    from cmodel import __version__

    return __version__


def turn(run: Runner, x: Array, seconds: float, usual: float) -> dict[str, Any]:
    """Run for so long, at least once; return the medians of wall and CPU time of a run."""
    if usual < WARM_BELOW:
        run(x)
    times: list[float] = []
    cpu: list[float] = []
    start = time.perf_counter()
    while True:
        cpu_begin, begin = time.process_time(), time.perf_counter()
        run(x)
        end, cpu_end = time.perf_counter(), time.process_time()
        times.append(end - begin)
        cpu.append(cpu_end - cpu_begin)
        if end - start >= seconds:
            break
    return {"seconds": float(np.median(times)), "cpu_seconds": float(np.median(cpu))}


def main() -> None:
    name, folder, threads, batch = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:5])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        load, distribution = ENGINES[name]
        known = version(distribution)
        x = np.load(folder / "input.npy")
        run = load(folder, threads, batch)
        output = np.asarray(run(x))
        np.save(folder / f"output-{name}.npy", output.reshape(batch, -1))
        begin = time.perf_counter()
        run(x)
        usual = time.perf_counter() - begin
    except Exception as error:
        message = " ".join(str(error).split())[:300]
        print(json.dumps({"error": f"{type(error).__name__}: {message}"}), file=answers)
        raise SystemExit(1) from error
    print(json.dumps({"version": known, "seconds": usual}), file=answers)
    for line in sys.stdin:
        print(json.dumps(turn(run, x, float(line), usual)), file=answers)


if __name__ == "__main__":
    main()
