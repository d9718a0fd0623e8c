"""How to embed an exported file in an app: Markdown made from the file's real tensors, with one
worked input.

The worked input is a formula, so that an app's test needs no picture: byte i of the image is (i ·
37 + i // 64 · 11) mod 256. The file's outputs for it are computed here on LiteRT when the guide is
made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_kd._common.markdown import escaped, fenced
from keras_kd.datasets.class_names import are_expressions
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError
from keras_kd.exporters import _guide_code as code
from keras_kd.exporters import app_versions
from keras_kd.exporters._guide_code import Facts
from keras_kd.exporters.bundle import minimum_runtimes, model_file
from keras_kd.runtimes import predictors, tflite_graph, tflite_operators
from keras_kd.runtimes.kernels import measured_tolerance
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.runtimes.stated import NOTHING, Stated

DTYPES = ("float32", "uint8")
STATE = (
    "Reset the interpreter, because the file goes on from the image before, as the programs in"
    " Python, C and for Kotlin's older Interpreter do. The other libraries can't reset it"
    " (resetVariableTensors of tflite_flutter throws): make a new model for each image there."
)


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
        ModelError: it is no such file, its input is neither bytes nor floats, or an output is not
            floats.
    """
    path = model_file(model)
    if path.suffix != ".tflite":
        raise ModelError(
            f"Apps embed .tflite files, and {path} is none: `kerakd export MODEL.keras --bundle`"
            " makes one of a .keras or .h5 file."
        )
    tflite_graph.require_one_size(path)
    runtime, predictor = LiteRTModel(path), predictors.load(path, stated)
    runtime.require_one_image()
    dtype, taken = runtime.input_dtype.name, predictor.spec.expected_pixels
    pixels = worked_input(runtime.input_shape)
    _require_covered(path, runtime, pixels, taken)
    shown = taken.of(pixels[None])
    outputs = runtime.predict_heads(shown)
    difference, tolerance = measured_tolerance(path, runtime.as_input(shown))
    numbered = (
        f"class_{number}" for number in range(predictor.predict(pixels[None]).logits.shape[1])
    )
    return Facts(
        name=path.name,
        shape=runtime.input_shape,
        dtype=dtype,
        pixels=PixelValues(channel_order=taken.channel_order) if dtype == "uint8" else taken,
        assumed=predictor.assumes_pixels,
        outputs={name: int(np.prod(shape)) for name, shape in runtime.output_shapes.items()},
        output=predictor.spec.output,
        class_names=predictor.spec.class_names or tuple(numbered),
        operators=tuple(sorted(tflite_operators.counts(path))),
        bytes=path.stat().st_size,
        example={
            name: [round(float(value), 5) for value in values[0].ravel()]
            for name, values in outputs.items()
        },
        difference=difference,
        tolerance=tolerance,
        runtimes=minimum_runtimes(path),
        keeps_state=tflite_operators.keeps_state(path),
    )


def _require_covered(
    path: Path, runtime: LiteRTModel, pixels: np.ndarray, taken: PixelValues
) -> None:
    """Refuse files of other inputs and outputs than the guide's programs have."""
    dtype = runtime.input_dtype.name
    # Bytes as they are, but for the order of the channels.
    ordered = pixels[None, ..., ::-1] if taken.channel_order == "bgr" else pixels[None]
    if dtype not in DTYPES or (
        dtype == "uint8" and not np.array_equal(runtime.as_input(taken.of(pixels[None])), ordered)
    ):
        limits = runtime.input_limits
        scale = f" whose numbers stand for {limits[0]:.6g} to {limits[1]:.6g}" if limits else ""
        raise ModelError(
            f"{path} takes {dtype}{scale}: the guide covers files that take float32, or uint8"
            " pixels of 0..255, so export it by `kerakd export MODEL.keras --io app` or `--io"
            " float`."
        )
    if others := [name for name, one in runtime.output_dtypes.items() if one != np.float32]:
        raise ModelError(
            f"{path} gives {runtime.output_dtypes[others[0]]} as {others[0]}: the guide covers"
            " files whose outputs are float32, so export it by `kerakd export MODEL.keras --io app`"
            " or `--io float`."
        )


def guide(found: Facts) -> str:
    """Write the guide.

    Args:
        found: as `facts` returned them.

    Returns:
        Markdown.
    """
    versions = app_versions.versions()
    sections = [
        f"# Embedding {escaped(found.name)}",
        "Made by `kerakd guide` from the file: make it anew when the file changes.",
        "## What goes in and comes out",
        _tensors(found),
        _steps(found),
        "## One worked input",
        _worked(found),
        (
            "Every program below has a check of it, which is your app's first test: run it on each"
            " kind of device, and with the GPU and without."
        ),
        "## Python",
        f"`pip install ai-edge-litert=={versions['ai-edge-litert']}`",
        _code(found, "check.python", "python"),
        *_for_android(found, versions),
        *_for_ios_and_flutter(found, versions),
        *_for_typescript(found, versions),
        "## C",
        (
            "Link TensorFlow Lite's C library (`libtensorflowlite_c`, built by CMake from"
            " `tensorflow/lite/c`). `cc model.c` makes a program that checks the worked input."
        ),
        _code(found, "model.c", "c"),
        "## What was tried",
        (
            "This project's tests run the programs in Python, C (on TensorFlow Lite's C library)"
            " and TypeScript (in Chromium), compile those for React Native against the package's"
            " types, and compile Kotlin against declarations of Android's and LiteRT's classes"
            " that were written by hand after LiteRT's sources; the crop in Kotlin is run too."
            " Swift and Dart follow their libraries' documentation and were not compiled."
            f" The versions were looked up on {app_versions.checked():%d %B %Y}."
        ),
    ]
    return "\n\n".join(sections) + "\n"


def _for_android(found: Facts, versions: Mapping[str, str]) -> list[str]:
    return [
        "## Android, Kotlin",
        _android(versions),
        _code(found, "Crop.kt", "kotlin"),
        "`Model` runs the file on the GPU or the CPU and says which, and why:",
        _code(found, "Model.kt", "kotlin"),
        "For frames of CameraX:",
        _code(found, "Camera.kt", "kotlin"),
        "The older Interpreter, on the CPU of every device:",
        _code(found, "InterpreterModel.kt", "kotlin"),
    ]


def _for_ios_and_flutter(found: Facts, versions: Mapping[str, str]) -> list[str]:
    return [
        "## iOS, Swift",
        (
            f"CocoaPods: `pod 'TensorFlowLiteSwift', '{versions['TensorFlowLiteSwift']}'`, which"
            " reads the same files; the file goes to the app's bundle."
        ),
        _code(found, "model.swift", "swift"),
        "## Flutter",
        (
            f"`tflite_flutter: {versions['tflite_flutter']}` in `pubspec.yaml`, the file under"
            " `assets:`. Older versions have libraries that Android devices with pages of 16 KB"
            " refuse."
        ),
        _code(found, "model.dart", "dart"),
    ]


def _for_typescript(found: Facts, versions: Mapping[str, str]) -> list[str]:
    return [
        "## Web, TypeScript",
        (
            f"`npm install @litertjs/core@{versions['@litertjs/core']}`; serve its folder `wasm`"
            " and the file from your own origin. More than one thread needs a page that is"
            " cross-origin isolated. `crop.ts`:"
        ),
        _code(found, "crop.ts", "typescript"),
        "`web.ts`:",
        _code(found, "web.ts", "typescript"),
        "## React Native, TypeScript",
        (
            "`npm install react-native-fast-tflite@"
            f"{versions['react-native-fast-tflite']} react-native-nitro-modules@"
            f"{versions['react-native-nitro-modules']}`, and `tflite` among `assetExts` in"
            " `metro.config.js`. With `crop.ts` as above:"
        ),
        _code(found, "reactNative.ts", "typescript"),
    ]


def _code(found: Facts, name: str, language: str) -> str:
    return fenced(code.program(found, name), language)


def _android(versions: Mapping[str, str]) -> str:
    version = versions["litert-android"]
    return (
        f"The file goes to `app/src/main/assets/`; `minSdk` is {versions['min-sdk']} or more.\n\n"
        + fenced(
            f'implementation("com.google.ai.edge.litert:litert:{version}")\n'
            f'implementation("com.google.ai.edge.litert:litert-gpu:{version}")  // for the GPU',
            "kotlin",
        )
        + "\n\nDevices with memory pages of 16 KB, which Google Play asks for, load only libraries"
        " that are aligned to them. LiteRT's are since 1.4, and the Android Gradle plugin since"
        " 8.5.1 packs them so; `zipalign -c -P 16 -v 4 app.apk` checks an app. Pictures become the"
        " model's input by:"
    )


def _tensors(found: Facts) -> str:
    height, width, channels = found.shape
    shape = f"1 × {height} × {width} × {channels}"
    rows = [f"| in | `image` | {found.dtype} | {shape} | {_pixels(found)} |"]
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
        f" {operators}. Runs right on {found.runtimes}."
    )


def _pixels(found: Facts) -> str:
    order = found.pixels.channel_order.upper()
    colour = order if found.shape[2] == 3 else "gray, (19595 R + 38470 G + 7471 B + 32768) >> 16"
    scale, offset = found.pixels.line(found.shape[2])
    both = zip(offset, scale, strict=True)
    lines = [f"{low:.6g} + pixel · {factor:.6g}" for low, factor in both]
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
            f" a square of {code.FACE_SIDE} · max(width, height) pixels (`kerakd predict --crop`;"
            " 1.5 for drawn faces), turned clockwise by the eyes' tilt r = atan2(y of the left eye"
            " - y of the right eye, x of the left - x of the right). Its middle is the box's, moved"
            f" by {code.FACE_RISE} ·"
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
        *([STATE] if found.keeps_state else []),
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
    first = ", ".join(str(value) for value in worked_input(found.shape).ravel()[:8])
    scaled = "" if found.pixels.plain else " (before it is changed as the table says)"
    sums = ", ".join(
        f"{sum(values):.4f} ({escaped(name)})"
        for name, values in found.example.items()
        if len(values) > 1 and found.output == "probabilities"
    )
    summed = (
        f" The probabilities sum to {sums} here; rounded ones need not sum to 1." if sums else ""
    )
    return (
        "Byte i of the image is `(i * 37 + i / 64 * 11) % 256`, whole-number division; it begins"
        f" {first}{scaled}. Expected:\n\n{fenced(json.dumps(found.example), 'json')}\n\n"
        f"each within {found.tolerance:g}. On LiteRT's kernels (XNNPACK, its own, the reference)"
        f" the outputs differ by at most {found.difference:.2g}; the bound is twice that and"
        f" {found.tolerance - 2 * found.difference:.2g} for other processors.{summed}"
    )
