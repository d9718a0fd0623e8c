"""How many int8 multiply-accumulates LiteRT does a nanosecond here, by the size of the maps.

    .venv/bin/python benchmarks/int8_peak.py [--seconds 10]

Each row is one convolution as a file of its own, on one thread; XNNPACK computes several pixels of
a map at once, so small maps leave part of its width idle. Prints Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_kd._common import hardware
from keras_kd._common.markdown import table
from keras_kd.runtimes import multiply_accumulates, timing
from keras_kd.runtimes.litert import LiteRTModel

# Side of the map, channels in and out, side of the kernel.
SIZES = ((28, 1024, 512, 1), (24, 32, 32, 3), (7, 256, 256, 3), (6, 128, 128, 3), (3, 128, 128, 3),
         (2, 256, 256, 3), (1, 512, 512, 1))  # fmt: skip


def content(side: int, given: int, filters: int, kernel: int) -> bytes:
    """Return an all-integer file of one convolution."""
    image = keras.Input((side, side, given), 1)
    layer = keras.layers.Conv2D(filters, kernel, padding="same", activation="relu")
    model = keras.Model(image, layer(image))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8

    def samples() -> Iterator[list[np.ndarray]]:
        yield [np.random.default_rng(0).normal(size=image.shape).astype(np.float32)]

    converter.representative_dataset = samples
    with contextlib.redirect_stdout(io.StringIO()):  # Keras names the graph's tensors
        return converter.convert()


def main() -> None:
    """Make, time, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing altogether")
    given = parser.parse_args()
    models, counts = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "convolution.tflite"
        for size in SIZES:
            path.write_bytes(content(*size))
            models.append(LiteRTModel(path, trusted=True))
            counts.append(multiply_accumulates.of_tflite(path))
    times = timing.medians([model.compute for model in models], given.seconds)
    rows = [
        (f"{side}x{side}", f"{kernel}x{kernel}", f"{channels} → {filters}",
         f"{count / milliseconds / 1e6:.0f}")
        for (side, channels, filters, kernel), count, milliseconds
        in zip(SIZES, counts, times, strict=True)
    ]  # fmt: skip
    header = ("map", "kernel", "channels", "multiply-accumulates a ns")
    print(f"{hardware.describe()}; one thread\n\n{table(header, rows)}")


if __name__ == "__main__":
    main()
