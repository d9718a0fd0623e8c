"""How to embed an exported file in an app: Markdown made from the file's real tensors, with one
worked input.

The worked input is a formula, so that an app's test needs no picture: byte i of the image is (i ·
37 + i // 64 · 11) mod 256. The file's outputs for it are computed here on LiteRT when the guide is
made.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_kd._common.markdown import escaped, fenced
from keras_kd.datasets.class_names import are_expressions
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError
from keras_kd.exporters import _guide_code as code
from keras_kd.exporters._guide_code import TOLERANCE, Facts
from keras_kd.exporters.bundle import model_file
from keras_kd.runtimes import litert, predictors
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.runtimes.stated import NOTHING, Stated

DTYPES = ("float32", "uint8")


def worked_input(shape: tuple[int, int, int]) -> np.ndarray:
    """Return the worked input.

    Args:
        shape: (H, W, C).

    Returns:
        uint8 (H, W, C).
    """
    index = np.arange(int(np.prod(shape)))
    return ((index * 37 + index // 64 * 11) % 256).astype(np.uint8).reshape(shape)


def facts(model: str | Path | None, stated: Stated = NOTHING) -> Facts:
    """Read a `.tflite` file or a bundle's folder.

    Args:
        model: the file or folder; None for the shipped model.
        stated: what the user says of a file without metadata.

    Returns:
        The facts that `guide` needs.

    Raises:
        ModelError: it is no such file, or its input is neither bytes nor floats.
    """
    path = model_file(model)
    if path.suffix != ".tflite":
        raise ModelError(
            f"Apps embed .tflite files: `kerakd export {shlex.quote(str(path))} --bundle` makes"
            " one."
        )
    runtime, predictor = LiteRTModel(path), predictors.load(path, stated)
    runtime.require_one_image()
    dtype, taken = runtime.input_dtype.name, predictor.form.taken
    pixels = worked_input(runtime.input_shape)
    shown = taken.of(pixels[None])
    # Bytes as they are, but for the order of the channels.
    ordered = pixels[None, ..., ::-1] if taken.channel_order == "bgr" else pixels[None]
    if dtype not in DTYPES or (
        dtype == "uint8" and not np.array_equal(runtime.as_input(shown), ordered)
    ):
        limits = runtime.input_limits
        scale = f" whose numbers stand for {limits[0]:.6g} to {limits[1]:.6g}" if limits else ""
        raise ModelError(
            f"{path} takes {dtype}{scale}: the guide covers files that take float32, or uint8"
            " pixels of 0..255, so export it by `kerakd export MODEL.keras --io app` or `--io"
            " float`."
        )
    outputs = runtime.predict_heads(shown)
    numbered = (
        f"class_{number}" for number in range(predictor.predict(pixels[None]).logits.shape[1])
    )
    return Facts(
        path.name,
        runtime.input_shape,
        dtype,
        PixelValues(channel_order=taken.channel_order) if dtype == "uint8" else taken,
        predictor.assumes_pixels,
        {name: int(np.prod(shape)) for name, shape in runtime.output_shapes.items()},
        predictor.form.output,
        predictor.form.class_names or tuple(numbered),
        tuple(sorted(litert.operators(path))),
        path.stat().st_size,
        {
            name: [round(float(value), 5) for value in values[0].ravel()]
            for name, values in outputs.items()
        },
    )


def guide(found: Facts) -> str:
    """Write the guide.

    Args:
        found: as `facts` returned them.

    Returns:
        Markdown.
    """
    sections = [
        f"# Embedding {escaped(found.name)}",
        "Made by `kerakd guide` from the file: make it anew when the file changes.",
        "## What goes in and comes out",
        _tensors(found),
        _steps(found),
        "## One worked input",
        _worked(found),
        "## Python",
        fenced(code.python(found), "python"),
        "## Android, Kotlin",
        (
            '`implementation("com.google.ai.edge.litert:litert:2.1.0")`; the file goes to'
            " `app/src/main/assets/`. Interpreter, which runs on every device:"
        ),
        fenced(code.kotlin(found), "kotlin"),
        "CompiledModel, for the GPU and NPU where there is one:",
        fenced(code.kotlin_compiled(found), "kotlin"),
        "## iOS, Swift",
        (
            "CocoaPods: `pod 'TensorFlowLiteSwift'`, which reads the same files; the file goes to"
            " the app's bundle."
        ),
        fenced(code.swift(found), "swift"),
        "## Flutter",
        "`tflite_flutter` in `pubspec.yaml`, the file under `assets:`.",
        fenced(code.dart(found), "dart"),
        "## C",
        "Link LiteRT's (TensorFlow Lite's) C library.",
        fenced(code.c(found), "c"),
        (
            "The code for Python is run by this project's tests. The others follow the libraries'"
            " documentation and were not compiled here: let the worked input be your app's first"
            " test."
        ),
    ]
    return "\n\n".join(sections) + "\n"


def _tensors(found: Facts) -> str:
    height, width, channels = found.shape
    rows = [
        f"| in | `image` | {found.dtype} | 1 × {height} × {width} × {channels} | {_pixels(found)} |"
    ]
    for name, count in found.outputs.items():
        meaning = f"{found.output} of the classes below" if count > 1 else "one value"
        rows.append(f"| out | {escaped(name)} | float32 | 1 × {count} | {meaning} |")
    labels = ", ".join(f"{number} {escaped(name)}" for number, name in enumerate(found.class_names))
    table = "\n".join(
        ["| | name | type | shape | what |", "| --- | --- | --- | --- | --- |", *rows]
    )
    operators = ", ".join(map(escaped, found.operators))
    return (
        f"{table}\n\nClasses, in order: {labels or 'none'}.\n\n{found.bytes:,} bytes; operators:"
        f" {operators}."
    )


def _pixels(found: Facts) -> str:
    order = found.pixels.channel_order.upper()
    colour = order if found.shape[2] == 3 else "gray, (19595 R + 38470 G + 7471 B + 32768) >> 16"
    scale, offset = found.pixels.line(found.shape[2])
    lines = [f"{low:.6g} + pixel · {factor:.6g}" for low, factor in zip(offset, scale, strict=True)]
    levels = lines[0] if len(set(lines)) == 1 else ", ".join(map("{} {}".format, order, lines))
    if replace(found.pixels, channel_order="rgb").plain:
        levels = "0 to 255"
    levels += ", which is assumed because the file doesn't say it" * found.assumed
    return f"{colour}; {levels}; rows from the top, pixels from the left, then channels"


def _steps(found: Facts) -> str:
    height, width, _ = found.shape
    cut = (
        (
            "Find the face's box and eyes, and cut it out upright, as the training images were cut:"
            " a square of 1.17 · max(width, height) pixels (`kerakd predict --crop`; 1.5 for drawn"
            " faces), turned clockwise by the eyes' tilt r = atan2(y of the left eye - y of the"
            " right eye, x of the left - x of the right). Its middle is the box's, moved by 0.09 ·"
            " height · (sin r, -cos r). Boxes are MediaPipe's, from the brows to the chin. Repeat"
            " the border where the square leaves the picture."
        )
        if are_expressions(found.class_names)
        else "Cut the picture as the training images were cut."
    )
    steps = [
        cut,
        f"Resize it to {width} wide and {height} high, bilinear with smoothing when it shrinks.",
        "Fill `image` as the table says.",
        "Run the model.",
    ]
    if found.class_names:
        softmax = (
            "Probabilities are exp(z - max z), divided by their sum."
            if found.output == "logits"
            else ("The classes' output holds probabilities.")
        )
        steps.append(
            f"{softmax} The likeliest class is the label; below some 50 % say that it is uncertain."
        )
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))


def _worked(found: Facts) -> str:
    expected = json.dumps(found.example)
    first = ", ".join(str(value) for value in worked_input(found.shape).ravel()[:8])
    scaled = "" if found.pixels.plain else " (before it is changed as the table says)"
    return (
        "Byte i of the image is `(i * 37 + i / 64 * 11) % 256`, whole-number division; it begins"
        f" {first}{scaled}. Expected within {TOLERANCE:g} of the largest"
        f" value:\n\n{fenced(expected, 'json')}"
    )
