"""How to embed an exported file in an app: Markdown made from the file's real tensors, with one
worked input.

The worked input is a formula, so that an app's test needs no picture: byte i of the image is (i ·
37 + i // 64 · 11) mod 256. What the file gives for it is computed here on LiteRT, when the guide is
made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd._common.markdown import escaped, fenced
from keras_kd._common.text import printable
from keras_kd.errors import ModelError
from keras_kd.runtimes import litert, predictors
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.sessions import _reader

# Kernels of other processors round otherwise; int8 files come in steps of 1/256 of their range.
TOLERANCE = 0.02
DTYPES = ("float32", "uint8")


@dataclass(frozen=True)
class Facts:
    """What there is to know of a file.

    Attributes:
        name: of the file.
        shape: (height, width, channels) of its input `image`.
        dtype: "float32" or "uint8".
        value_range: what it expects for pixels 0 and 255.
        outputs: by name, in the file's order: how many values.
        output: "logits" or "probabilities", what the classes' output holds.
        class_names: labels of the classes' output.
        operators: that the runtime must have.
        bytes: of the file.
        example: the outputs for the worked input, by name.
    """

    name: str
    shape: tuple[int, int, int]
    dtype: str
    value_range: tuple[float, float]
    outputs: dict[str, int]
    output: str
    class_names: tuple[str, ...]
    operators: tuple[str, ...]
    bytes: int
    example: dict[str, list[float]]


def worked_input(shape: tuple[int, int, int]) -> np.ndarray:
    """Return the worked input, uint8 (H, W, C)."""
    index = np.arange(int(np.prod(shape)))
    return ((index * 37 + index // 64 * 11) % 256).astype(np.uint8).reshape(shape)


def facts(model: str | Path) -> Facts:
    """Read a `.tflite` file or a bundle's folder.

    Raises:
        ModelError: it is no such file, or takes neither bytes nor floats.
    """
    path = _reader.file(model)
    if path.suffix != ".tflite":
        raise ModelError(f"Apps embed .tflite files: `kerakd export {path} --bundle` makes one.")
    runtime, predictor = LiteRTModel(path), predictors.load(path)
    dtype = runtime.input_dtype.name
    if dtype not in DTYPES:
        raise ModelError(
            f"{path} takes {dtype}: the guide covers files exported with --io float or --io app."
        )
    low, high = predictor.form.value_range
    pixels = worked_input(runtime.input_shape)
    shown = pixels if dtype == "uint8" else low + (high - low) / 255 * pixels.astype(np.float32)
    outputs = runtime.predict_heads(shown[None])
    reader, _ = _reader.load(path)
    return Facts(
        path.name,
        runtime.input_shape,
        dtype,
        (low, high),
        {name: int(np.prod(shape)) for name, shape in runtime.output_shapes.items()},
        predictor.form.output,
        reader.class_names,
        tuple(sorted(litert.operators(path))),
        path.stat().st_size,
        {
            name: [round(float(value), 5) for value in values[0].ravel()]
            for name, values in outputs.items()
        },
    )


def guide(found: Facts) -> str:
    """Return the guide, Markdown."""
    sections = [
        f"# Embedding {escaped(found.name)}",
        "Made by `kerakd guide` from the file: make it anew when the file changes.",
        "## What goes in and comes out",
        _tensors(found),
        _steps(found),
        "## One worked input",
        _worked(found),
        "## Python",
        fenced(python(found), "python"),
        "## Android, Kotlin",
        (
            '`implementation("com.google.ai.edge.litert:litert:2.1.0")`; the file goes to'
            " `app/src/main/assets/`. Interpreter, which runs on every device:"
        ),
        fenced(_kotlin(found), "kotlin"),
        "CompiledModel, for the GPU and NPU where there is one:",
        fenced(_compiled(found), "kotlin"),
        "## iOS, Swift",
        (
            "CocoaPods: `pod 'TensorFlowLiteSwift'`, which reads the same files; the file goes to"
            " the app's bundle."
        ),
        fenced(_swift(found), "swift"),
        "## Flutter",
        "`tflite_flutter` in `pubspec.yaml`, the file under `assets:`.",
        fenced(_dart(found), "dart"),
        "## C",
        "Link LiteRT's (TensorFlow Lite's) C library.",
        fenced(_c(found), "c"),
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
    low, high = found.value_range
    colour = "RGB" if found.shape[2] == 3 else "gray, (19595 R + 38470 G + 7471 B + 32768) >> 16"
    levels = (
        "0 to 255" if (low, high) == (0, 255) else f"{low:g} + pixel · {(high - low) / 255:.6g}"
    )
    return f"{colour}; {levels}; rows from the top, pixels from the left, then channels"


def _steps(found: Facts) -> str:
    height, width, _ = found.shape
    steps = [
        (
            "Find the face's box and eyes, and cut it out upright, as the training images were cut:"
            " a square of 1.17 · max(width, height) pixels (`kerakd predict --crop`; 1.5 for drawn"
            " faces), turned clockwise by the eyes' tilt r = atan2(y of the left eye - y of the"
            " right eye, x of the left - x of the right). Its middle is the box's, moved by 0.09 ·"
            " height · (sin r, -cos r). Boxes are MediaPipe's, from the brows to the chin. Repeat"
            " the border where the square leaves the picture."
        ),
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
    scaled = "" if found.value_range == (0, 255) else " (scaled as the table says)"
    return (
        "Byte i of the image is `(i * 37 + i / 64 * 11) % 256`, whole-number division; it begins"
        f" {first}{scaled}. Expected within {TOLERANCE:g} of the largest"
        f" value:\n\n{fenced(expected, 'json')}"
    )


def _scaled(found: Facts, pixel: str) -> str:
    """The expression that turns a byte into what the file expects."""
    low, high = found.value_range
    return pixel if (low, high) == (0, 255) else f"{low:g} + {pixel} * {(high - low) / 255:.9g}"


def _size(found: Facts) -> int:
    return int(np.prod(found.shape))


def python(found: Facts) -> str:
    """Return code that checks the worked input with LiteRT alone; it ends with an error if the
    outputs differ.
    """
    low, high = found.value_range
    scaling = (
        "" if (low, high) == (0, 255) else f"pixels = {low:g} + {(high - low) / 255:.9g} * pixels\n"
    )
    return f"""\
import numpy as np
from ai_edge_litert.interpreter import Interpreter

runner = Interpreter({_string(found.name, "")}).get_signature_runner()
index = np.arange({_size(found)})
pixels = (index * 37 + index // 64 * 11) % 256
{scaling}outputs = runner(image=pixels.astype(np.{found.dtype}).reshape{(1, *found.shape)})
expected = {json.dumps(found.example)}
for name, values in expected.items():
    np.testing.assert_allclose(outputs[name][0], values, atol={TOLERANCE:g} * max(1, *np.abs(values)))
    print(name, outputs[name][0])"""


def _kotlin(found: Facts) -> str:
    height, width, channels = found.shape
    size = _size(found)
    put = "putFloat" if found.dtype == "float32" else "put"
    cast = "toFloat()" if found.dtype == "float32" else "toByte()"
    value = f"({_scaled(found, '((i * 37 + i / 64 * 11) % 256)')}).{cast}"
    bytes_each = 4 if found.dtype == "float32" else 1
    outputs = "\n".join(
        f"val {_word(name)} = Array(1) {{ FloatArray({count}) }}"
        for name, count in found.outputs.items()
    )
    pairs = ", ".join(f"{_string(name)} to {_word(name)}" for name in found.outputs)
    return f"""\
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter

val file = context.assets.open({_string(found.name)}).readBytes()
val interpreter = Interpreter(ByteBuffer.allocateDirect(file.size).order(ByteOrder.nativeOrder()).put(file))
// {height} x {width} x {channels}, {found.dtype}; here the worked input
val image = ByteBuffer.allocateDirect({size * bytes_each}).order(ByteOrder.nativeOrder())
for (i in 0 until {size}) image.{put}({value})
image.rewind()
{outputs}
interpreter.runSignature(mapOf("image" to image), mapOf({pairs}))
val labels = listOf({_strings(found.class_names)})"""


def _compiled(found: Facts) -> str:
    write = "writeFloat" if found.dtype == "float32" else "writeInt8"
    array = "FloatArray" if found.dtype == "float32" else "ByteArray"
    cast = "toFloat()" if found.dtype == "float32" else "toByte()"
    value = f"({_scaled(found, '((i * 37 + i / 64 * 11) % 256)')}).{cast}"
    read = "\n".join(
        f"val {_word(name)} = outputs[{number}].readFloat()  // {count} values"
        for number, (name, count) in enumerate(found.outputs.items())
    )
    return f"""\
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

val model = CompiledModel.create(context.assets, {_string(found.name)}, CompiledModel.Options(Accelerator.CPU))
val inputs = model.createInputBuffers()
val outputs = model.createOutputBuffers()
inputs[0].{write}({array}({_size(found)}) {{ i -> {value} }})
model.run(inputs, outputs)
{read}"""


def _swift(found: Facts) -> str:
    kind = "Float32" if found.dtype == "float32" else "UInt8"
    read = "\n".join(
        f"let {_word(name)} = try interpreter.output(at: {number}).data"
        f".withUnsafeBytes {{ Array($0.bindMemory(to: Float32.self)) }}  // {count} values"
        for number, (name, count) in enumerate(found.outputs.items())
    )
    return f"""\
import TensorFlowLite

let path = Bundle.main.path(forResource: {_string(Path(found.name).stem, "")}, ofType: "tflite")!
let interpreter = try Interpreter(modelPath: path)
try interpreter.allocateTensors()
// {" x ".join(map(str, found.shape))}, {found.dtype}; here the worked input
let image = (0..<{_size(found)}).map {{ i in {kind}({_scaled(found, f"{kind}((i * 37 + i / 64 * 11) % 256)")}) }}
try interpreter.copy(image.withUnsafeBufferPointer {{ Data(buffer: $0) }}, toInputAt: 0)
try interpreter.invoke()
{read}
let labels = [{_strings(found.class_names, "")}]"""


def _dart(found: Facts) -> str:
    height, width, channels = found.shape
    kind = "Float32List" if found.dtype == "float32" else "Uint8List"
    suffix = ".toDouble()" if found.dtype == "float32" else ""
    outputs = ", ".join(
        f"{n}: [List.filled({count}, 0.0)]" for n, count in enumerate(found.outputs.values())
    )
    return f"""\
import 'dart:typed_data';
import 'package:tflite_flutter/tflite_flutter.dart';

final interpreter = await Interpreter.fromAsset({_string(f"assets/{found.name}")});
final image = {kind}({_size(found)});
for (var i = 0; i < image.length; i++) {{
  image[i] = ({_scaled(found, "((i * 37 + i ~/ 64 * 11) % 256)")}){suffix};
}}
// In order: {printable(", ".join(found.outputs))}
final outputs = <int, Object>{{{outputs}}};
interpreter.runForMultipleInputs([image.reshape([1, {height}, {width}, {channels}])], outputs);
const labels = [{_strings(found.class_names)}];"""


def _c(found: Facts) -> str:
    kind = "float" if found.dtype == "float32" else "uint8_t"
    read = "\n".join(
        "float"
        f" {_word(name)}[{count}];\nTfLiteTensorCopyToBuffer(TfLiteInterpreterGetOutputTensor(interpreter,"
        f" {number}), {_word(name)}, sizeof {_word(name)});"
        for number, (name, count) in enumerate(found.outputs.items())
    )
    return f"""\
#include <stdint.h>
#include "tensorflow/lite/c/c_api.h"

TfLiteModel* model = TfLiteModelCreateFromFile({_string(found.name, "")});
TfLiteInterpreter* interpreter = TfLiteInterpreterCreate(model, NULL);
TfLiteInterpreterAllocateTensors(interpreter);
static {kind} image[{_size(found)}];
for (int i = 0; i < {_size(found)}; i++) image[i] = ({kind})({_scaled(found, "((i * 37 + i / 64 * 11) % 256)")});
TfLiteTensorCopyFromBuffer(TfLiteInterpreterGetInputTensor(interpreter, 0), image, sizeof image);
TfLiteInterpreterInvoke(interpreter);
{read}
TfLiteInterpreterDelete(interpreter);
TfLiteModelDelete(model);"""


def _word(name: str) -> str:
    """A name as a variable's."""
    word = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    return word if word[:1].isalpha() else f"output_{word}"


def _string(text: str, filled: str = "$") -> str:
    """A string literal of all the languages here; `filled` are the signs by which a language fills
    in variables.
    """
    literal = json.dumps(printable(text), ensure_ascii=False)
    return "".join(f"\\{letter}" if letter in filled else letter for letter in literal)


def _strings(names: Sequence[str], filled: str = "$") -> str:
    return ", ".join(_string(name, filled) for name in names)
