"""The guide's code in each language, made from the facts of one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd._common.text import printable

# Kernels of other processors round otherwise; int8 files come in steps of 1/256 of their range.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Facts:
    """Facts about a file, for the guide.

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


def kotlin(found: Facts) -> str:
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


def kotlin_compiled(found: Facts) -> str:
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


def swift(found: Facts) -> str:
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


def dart(found: Facts) -> str:
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


def c(found: Facts) -> str:
    kind = "float" if found.dtype == "float32" else "uint8_t"
    read = "\n".join(
        "float"
        f" "
        f"{_word(name)}[{count}];\nTfLiteTensorCopyToBuffer(TfLiteInterpreterGetOutputTensor(interpreter,"
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
