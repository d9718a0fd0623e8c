"""A comparison of models: size, operations, latency and memory of files as an app would run them,
and their scores.

Latencies are measured in turns over all models, so that other load on the machine affects all of
them equally. The ratios are therefore more reliable than the milliseconds.
"""

from __future__ import annotations

import functools
import gzip
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_kd._common.paths import advice, shortest_names
from keras_kd._common.text import encodable, plain_reason
from keras_kd.datasets import Samples
from keras_kd.datasets.images import Size
from keras_kd.errors import ModelError, of_file
from keras_kd.evaluation import _keras_files, class_order, metrics
from keras_kd.evaluation._single_image import WARM_UP, peak_memory, single_run
from keras_kd.models import bundles, mistaken_files
from keras_kd.runtimes import multiply_accumulates, tflite_graph
from keras_kd.runtimes.stated import NOTHING, Stated

if TYPE_CHECKING:
    from keras_kd.evaluation._keras_files import Loaded

THREADS = (1, 2)
_TURN_SECONDS = 0.02


@dataclass
class Measurement:
    """The figures of one model.

    Attributes:
        name: the file's name, with its folders as far as others of that name are in the table.
        bytes: size on disk; for a `.keras` file, without the optimizer's state.
        gzip_bytes: compressed size, as an app store or web server sends it.
        parameters: number of weights and biases of convolutions and matrix products; None for ONNX.
        multiply_accumulates: for one image; None for ONNX and for files of open size.
        live_taps: share of the convolution weights that ever meet data, 0..1; None for ONNX and for
            files of open size.
        latency: milliseconds for one image by number of threads, (median, 95th percentile).
        peak_memory: bytes that loading and running adds to an idle process.
        accuracy: accuracy on the given data, 0..1, else None.
        accuracy_interval: its 95 % interval, (low, high).
        ece: expected calibration error on the given data, 0..1, else None.
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
    accuracy_interval: tuple[float, float] | None = None
    ece: float | None = None


def measure(
    paths: Sequence[str | Path],
    threads: Sequence[int] = THREADS,
    seconds: float = 5.0,
    samples: Callable[[Size | None], Samples] | None = None,
    stated: Mapping[str | Path, Stated] | None = None,
    convert: bool = True,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Measurement]:
    """Measure `.tflite`, `.onnx` and `.keras` files.

    Args:
        paths: the files, or bundles' folders.
        threads: numbers of CPU threads to measure with.
        seconds: time to measure each file with each number of threads.
        samples: a function that returns the labelled images to score on, given the size
            that a model expects (None for any size), so that they are resized once. If a
            model does not name its classes (a `labels.txt` beside `.tflite` and `.onnx` files
            does), those of the samples are assumed.
        stated: the user's statements about files without metadata, by path.
        convert: run a `.keras` file in its float32 export; otherwise run it by Keras, as a compiled
            function on all cores whatever `threads` is.
        tell: told what is assumed of a file, a sentence each.

    Returns:
        One measurement for each file.

    Raises:
        ModelError: a file can't be used.
        ExportError: a `.keras` file can't be converted.
    """
    loaded = functools.cache(_keras_files.loaded)  # a deep network takes seconds each time
    of_path = {Path(path): statement for path, statement in (stated or {}).items()}
    statements = [of_path.get(Path(path), NOTHING) for path in paths]
    shapes = [statement.input_shape for statement in statements]
    files = [bundles.model_file(path) for path in paths]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runnable = files
        if convert:
            runnable = [
                _keras_files.runnable(path, folder / f"{number}.tflite", shape, loaded)
                for number, (path, shape) in enumerate(zip(files, shapes, strict=True))
            ]
        measurements = [
            _static(path, file, name, loaded)
            for path, file, name in zip(files, runnable, shortest_names(paths), strict=True)
        ]
        latencies = _latencies(list(zip(runnable, shapes, strict=True)), threads, seconds)
        for measurement, file, latency, shape in zip(
            measurements, runnable, latencies, shapes, strict=True
        ):
            measurement.latency = latency
            measurement.peak_memory = peak_memory(file, shape)
        if samples is not None:
            for measurement, path, file, statement in zip(
                measurements, files, runnable, statements, strict=True
            ):
                _score(measurement, path, file, statement, samples, loaded, tell)
    return measurements


def table(measurements: Sequence[Measurement]) -> pd.DataFrame:
    """Return the figures as a table.

    Args:
        measurements: the figures of each model.

    Returns:
        One row for each model: first the ratios to the first model, then the figures.
    """
    first = measurements[0]
    rows = [
        {
            "model": encodable(one.name),
            **{
                f"latency ratio, {n} threads": one.latency[n][0] / first.latency[n][0]
                for n in one.latency
            },
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
    return (
        pd.DataFrame(rows)
        .set_index("model")
        .rename(columns=lambda name: name.replace(" 1 threads", " 1 thread"))
    )


def _static(path: Path, file: Path, name: str, loaded: Loaded) -> Measurement:
    mistaken_files.require_model(path)
    try:
        content = (
            _keras_files.without_optimizer(path, *loaded(path))
            if path.suffix == ".keras"
            else path.read_bytes()
        )
    except OSError as error:
        raise ModelError(
            f"{path} can't be read ({plain_reason(error)}): {advice(path)}."
        ) from error
    known = file.suffix == ".tflite"
    is_sized = known and not tflite_graph.is_open(file)
    return Measurement(
        name=name,
        bytes=len(content),
        gzip_bytes=len(gzip.compress(content)),
        parameters=multiply_accumulates.parameters(file) if known else None,
        multiply_accumulates=multiply_accumulates.of_tflite(file) if is_sized else None,
        live_taps=multiply_accumulates.live_taps(file) if is_sized else None,
    )


def _latencies(
    files: Sequence[tuple[Path, tuple[int, int, int] | None]],
    threads: Sequence[int],
    seconds: float,
) -> list[dict[int, tuple[float, float]]]:
    """Time all files in turns of _TURN_SECONDS; return milliseconds (median, 95th percentile) by
    threads.
    """
    runs = [
        (row, count, single_run(file, count, shape))
        for row, (file, shape) in enumerate(files)
        for count in threads
    ]
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
    for _ in range(WARM_UP):
        compute()
    taken: list[float] = []
    end = time.perf_counter() + _TURN_SECONDS
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        compute()
        taken.append(time.perf_counter() - start)
    return taken


def _score(
    measurement: Measurement,
    path: Path,
    file: Path,
    stated: Stated,
    samples: Callable[[Size | None], Samples],
    loaded: Loaded,
    tell: Callable[[str], None],
) -> None:
    """Score the file that was timed, in the data's order of classes."""
    from keras_kd.runtimes import predictors

    predictor: predictors.Predictor
    if path != file:
        predictor = predictors.of_converted(file, path, *loaded(path), stated)
    else:
        predictor = predictors.load(path, stated)
    test = samples(predictor.spec.size)
    with of_file(path):
        predictor = class_order.in_order_of_data(
            predictor, test, tell=lambda what: tell(f"{path} {what}")
        )
    if predictor.tells_classes:
        test = test.among(predictor.spec.class_names)
        scores = metrics.classification(
            predictor.logits(test.images), test.labels, test.class_names
        )
        measurement.accuracy, measurement.ece = scores["accuracy"], scores["ece"]
        measurement.accuracy_interval = tuple(scores["accuracy_interval"])
