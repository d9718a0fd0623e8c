"""Models side by side: size, arithmetic, latency and memory of files as an app would run them, and their scores.

Latencies are measured in turns over all models, so that what else the machine does meets all alike;
read the ratios before the milliseconds.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from keras_kd import metrics, multiply_accumulates
from keras_kd.datasets import Samples
from keras_kd.errors import ModelError
from keras_kd.litert import LiteRTModel

THREADS = (1, 2)
_WARM_UP = 5
_TURN_SECONDS = 0.02
_STATUS = Path("/proc/self/status")


@dataclass
class Measurement:
    """One model's figures.

    Attributes:
        name: the file's name.
        bytes: on disk.
        gzip_bytes: compressed, as an app store or web server sends it.
        parameters: weights and biases of convolutions and matrix products; None for ONNX.
        multiply_accumulates: for one image; None for ONNX.
        live_taps: share of the convolution weights that ever meet data; None for ONNX.
        latency: milliseconds for one image by number of threads, (median, 95th percentile).
        peak_memory: bytes that loading and running adds to an idle process.
        accuracy: on the data given, else None.
        ece: expected calibration error on the data given, else None.
    """

    name: str
    bytes: int
    gzip_bytes: int
    parameters: int | None
    multiply_accumulates: int | None
    live_taps: float | None
    latency: dict[int, tuple[float, float]] = field(default_factory=dict)
    peak_memory: int | None = None
    accuracy: float | None = None
    ece: float | None = None


def measure(
    paths: Sequence[str | Path],
    threads: Sequence[int] = THREADS,
    seconds: float = 5.0,
    samples: Samples | None = None,
    convert: bool = True,
) -> list[Measurement]:
    """Measure `.tflite`, `.onnx` and `.keras` files.

    Args:
        paths: the files.
        threads: numbers of CPU threads to time with.
        seconds: how long to time each file with each number of threads.
        samples: labelled images to score on, any size; class order as the models'.
        convert: run a `.keras` file as what the format float32 makes of it; otherwise by Keras itself, as a compiled
            function on all cores whatever `threads` says.

    Raises:
        ModelError: a file can't be used.
        ExportError: a `.keras` file can't be converted.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runnable = [Path(path) for path in paths]
        if convert:
            runnable = [_runnable(path, folder / f"{number}.tflite") for number, path in enumerate(runnable)]
        measurements = [_static(Path(path), file) for path, file in zip(paths, runnable, strict=True)]
        latencies = _latencies(runnable, threads, seconds)
        for measurement, file, latency in zip(measurements, runnable, latencies, strict=True):
            measurement.latency = latency
            measurement.peak_memory = peak_memory(file)
            if samples is not None and file.suffix == ".tflite":
                measurement.accuracy, measurement.ece = _scores(file, samples)
    return measurements


def table(measurements: Sequence[Measurement]) -> pd.DataFrame:
    """Return one row a model: first the ratios to the first model, then the figures themselves."""
    first = measurements[0]
    rows = [
        {
            "model": one.name,
            **{f"latency ratio, {n} threads": one.latency[n][0] / first.latency[n][0] for n in one.latency},
            "size ratio": one.bytes / first.bytes,
            "gzip ratio": one.gzip_bytes / first.gzip_bytes,
            "accuracy": one.accuracy,
            "ece": one.ece,
            "bytes": one.bytes,
            "gzip bytes": one.gzip_bytes,
            "parameters": one.parameters,
            "multiply-accumulates": one.multiply_accumulates,
            "live taps": one.live_taps,
            **{f"median ms, {n} threads": one.latency[n][0] for n in one.latency},
            **{f"p95 ms, {n} threads": one.latency[n][1] for n in one.latency},
            "peak memory bytes": one.peak_memory,
        }
        for one in measurements
    ]
    return pd.DataFrame(rows).set_index("model").rename(columns=lambda name: name.replace(" 1 threads", " 1 thread"))


def peak_memory(path: str | Path) -> int | None:
    """Return how many bytes loading and running a file adds to a process that does nothing else; None but on Linux.

    Raises:
        ModelError: the file can't be run.
    """
    if not _STATUS.exists():
        return None
    code = "import sys; from keras_kd.bench import print_peak_memory; print_peak_memory(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    if done.returncode:
        raise ModelError(f"{path} can't be run: {done.stderr.strip().splitlines()[-1]}")
    return int(done.stdout)


def print_peak_memory(path: str) -> None:
    """Print what `peak_memory` returns; runs in its child process."""
    if path.endswith(".keras"):
        import tensorflow  # noqa: F401  a runtime is not its models' memory
    # Imports may have needed more for a moment: 5 sets the mark back to what is in use (man 5 proc).
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmHWM")
    compute = _compute(Path(path), threads=1)
    for _ in range(_WARM_UP):
        compute()
    print(_status("VmHWM") - before)  # noqa: T201


def _status(name: str) -> int:
    """Return a line of /proc/self/status in bytes."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _runnable(path: Path, converted: Path) -> Path:
    if path.suffix != ".keras":
        return path
    from keras_kd import exporters, saved  # they import TensorFlow

    return exporters.export(saved.load(path)[0], converted, "float32").path


def _static(path: Path, file: Path) -> Measurement:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} can't be read ({error.strerror}): check the path.") from error
    known = file.suffix == ".tflite"
    return Measurement(
        name=path.name,
        bytes=len(content),
        gzip_bytes=len(gzip.compress(content)),
        parameters=multiply_accumulates.parameters(file) if known else None,
        multiply_accumulates=multiply_accumulates.of_tflite(file) if known else None,
        live_taps=multiply_accumulates.live_taps(file) if known else None,
    )


def _latencies(files: Sequence[Path], threads: Sequence[int], seconds: float) -> list[dict[int, tuple[float, float]]]:
    """Time all files in turns of _TURN_SECONDS; return milliseconds (median, 95th percentile) by threads."""
    runs = [(row, count, _compute(file, count)) for row, file in enumerate(files) for count in threads]
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(max(1, round(seconds / _TURN_SECONDS))):
        for (_, _, compute), taken in zip(runs, times, strict=True):
            taken.extend(_turn(compute))
    results: list[dict[int, tuple[float, float]]] = [{} for _ in files]
    for (row, count, _), taken in zip(runs, times, strict=True):
        results[row][count] = (float(np.median(taken)) * 1e3, float(np.percentile(taken, 95)) * 1e3)
    return results


def _turn(compute: Callable[[], object]) -> list[float]:
    """Warm the caches that the others took over, then time single runs until the turn is over."""
    for _ in range(_WARM_UP):
        compute()
    taken: list[float] = []
    end = time.perf_counter() + _TURN_SECONDS
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        compute()
        taken.append(time.perf_counter() - start)
    return taken


def _compute(path: Path, threads: int) -> Callable[[], object]:
    """Return a function that runs the file once on one image."""
    if path.suffix == ".tflite":
        model = LiteRTModel(path, threads)
        model.predict_heads(np.zeros((1, *model.input_shape), np.uint8))
        return model.compute
    if path.suffix == ".onnx":
        return _onnx_compute(path, threads)
    if path.suffix == ".keras":
        return _keras_compute(path)
    raise ModelError(f"{path} can't be timed: give .tflite, .onnx or .keras files.")


def _keras_compute(path: Path) -> Callable[[], object]:
    import tensorflow as tf

    from keras_kd import saved

    model = saved.load(path)[0]
    image = tf.zeros((1, *model.input_shape[1:]))
    function = tf.function(lambda: model(image, training=False))
    return lambda: function().numpy()


def _onnx_compute(path: Path, threads: int) -> Callable[[], object]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"Running {path} needs onnxruntime: pip install 'keras-kd[onnx]'.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in image.shape]
    feed = {image.name: np.zeros(shape, np.uint8 if image.type == "tensor(uint8)" else np.float32)}
    return lambda: session.run(None, feed)


def _scores(file: Path, samples: Samples) -> tuple[float, float]:
    from keras_kd import predictors  # imports TensorFlow

    logits = predictors.load(file).logits(samples.images)
    scores = metrics.classification(logits, samples.labels, samples.class_names)
    return scores["accuracy"], scores["ece"]
