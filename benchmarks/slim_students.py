"""Small students under a limit of time: narrow VGGs of several depths, widths and first strides.

python benchmarks/slim_students.py    (times and sizes of the untrained int8 files)
kerakd sweep --vary student=benchmarks/slim_students.py:s2_16_32_64_96_d2222,...    (trains them)

A name tells the first stride, the width of each stage and the number of its 3x3 convolutions. Every
stage ends in max pooling as long as the image is wider than three pixels. The times are those of
one thread of this machine, of the processor and not of the clock, in turns with shipped files.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_kd
from keras_kd.runtimes import timing

NAMES = (
    "s1_16_16_16_32_d1122",
    "s1_16_16_32_48_d1122",
    "s1_16_16_32_64_d1112",
    "s1_16_16_32_64_d1222",
    "s2_16_32_32_64_d2222",
    "s2_16_32_48_64_d2222",
    "s2_16_32_64_64_d2232",
    "s2_16_32_64_96_d2222",
    "s2_16_32_64_128_d2211",
    "s2_32_32_64_64_d2222",
)
SHIPPED = ("C", "B", "vgg8-half")
SECONDS = 20.0


def student(name: str, num_classes: int, input_shape: tuple[int, int, int]) -> keras.Model:
    """Build a student by its name. Pixels 0..255, float (N, H, W, C), to logits."""
    stride, *widths = (int(number) for number in re.findall(r"\d+", name)[:-1])
    depths = [int(digit) for digit in name.rpartition("_d")[2]]
    image = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 64, -2, name="normalise")(image)
    for stage, (filters, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for index in range(1, depth + 1):
            first = stage == index == 1
            place = f"{stage}_{index}"
            conv = layers.Conv2D(
                filters,
                3,
                strides=stride if first else 1,
                padding="same",
                use_bias=False,
                kernel_initializer="he_uniform",
                name=f"conv{place}",
            )
            x = layers.BatchNormalization(name=f"bn{place}")(conv(x))
            x = layers.ReLU(name=f"relu{place}")(x)
        if x.shape[1] > 3:
            x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(image, layers.Dense(num_classes, name="dense")(x), name=name)


def __getattr__(name: str) -> Callable[..., keras.Model]:
    """Return the function that `--student benchmarks/slim_students.py:NAME` names."""
    if name not in NAMES:
        raise AttributeError(name)

    def build(num_classes: int, input_shape: tuple[int, int, int]) -> keras.Model:
        return student(name, num_classes, input_shape)

    return build


def main() -> None:
    """Print processor milliseconds of one image and the size of each file."""
    from ai_edge_litert.interpreter import Interpreter

    shipped = Path(__file__).parents[1] / "exports"
    files = {name: shipped / name / "model.tflite" for name in SHIPPED}
    images = np.random.default_rng(0).integers(0, 256, (64, 48, 48, 1)).astype("float32")
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            files[name] = Path(folder) / f"{name}.tflite"
            model = student(name, 7, (48, 48, 1))
            keras_kd.export(model, files[name], format="int8", samples=images, min_agreement=0.0)
        interpreters = {name: Interpreter(str(file), num_threads=1) for name, file in files.items()}
        for interpreter in interpreters.values():
            interpreter.allocate_tensors()
        runs = [interpreter.invoke for interpreter in interpreters.values()]
        times = dict(zip(files, timing.medians(runs, SECONDS), strict=True))
        print("| student | ms | beside C | kB |\n| --- | ---: | ---: | ---: |")
        for name, spent in sorted(times.items(), key=lambda item: item[1]):
            size = files[name].stat().st_size / 1000
            print(f"| {name} | {spent:.4f} | {spent / times['C']:.2f} | {size:.0f} |")


if __name__ == "__main__":
    main()
