"""The guide's code in each language, made from the facts of one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd._common.text import printable
from keras_kd.datasets.pixel_values import PixelValues

# Kernels of other processors round otherwise; int8 files come in steps of 1/256 of their range.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Facts:
    """Facts about a file, for the guide.

    Attributes:
        name: of the file.
        shape: (height, width, channels) of its input `image`.
        dtype: "float32" or "uint8".
        pixels: the values that it takes for pixels 0..255.
        assumed: whether nobody states them.
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
    pixels: PixelValues
    assumed: bool
    outputs: dict[str, int]
    output: str
    class_names: tuple[str, ...]
    operators: tuple[str, ...]
    bytes: int
    example: dict[str, list[float]]


def _scaled(found: Facts, pixel: str) -> str:
    """The expression that turns a byte of channel i % 3 into what the file takes."""
    scale, offset = found.pixels.line(found.shape[2])
    if found.pixels.plain:
        return pixel
    if _by_channel(found):
        return f"offset[i % 3] + {pixel} * scale[i % 3]"
    return f"{offset[0]:.9g} + {pixel} * {scale[0]:.9g}"


def _by_channel(found: Facts) -> bool:
    return any(np.ptp(numbers) > 0 for numbers in found.pixels.line(found.shape[2]))


def _constants(found: Facts, declaration: str) -> str:
    """Lines that declare scale and offset, where channels have their own; `declaration` has places
    for a name and its numbers.
    """
    if not _by_channel(found):
        return ""
    pairs = zip(("scale", "offset"), found.pixels.line(found.shape[2]), strict=True)
    return "".join(
        declaration.format(name, ", ".join(f"{number:.9g}" for number in numbers)) + "\n"
        for name, numbers in pairs
    )


def _byte(found: Facts, divide: str = "/") -> str:
    """The worked input's byte that belongs at place i of the file's input."""
    swapped = found.shape[2] == 3 and found.pixels.channel_order == "bgr"
    # BGR: the first and the third channel change places.
    place = "(i + 2 - 2 * (i % 3))" if swapped else "i"
    return f"(({place} * 37 + {place} {divide} 64 * 11) % 256)"


def _size(found: Facts) -> int:
    return int(np.prod(found.shape))


def python(found: Facts) -> str:
    """Return code that checks the worked input with LiteRT alone; it ends with an error if the
    outputs differ.
    """
    constants = _constants(found, "{} = np.float32([{}])")
    scaling = "" if found.pixels.plain else f"pixels = {_scaled(found, 'pixels')}\n"
    return f"""\
import numpy as np
from ai_edge_litert.interpreter import Interpreter

runner = Interpreter({_string(found.name, "")}).get_signature_runner()
{constants}i = np.arange({_size(found)})
pixels = {_byte(found, "//")}
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
    value = f"({_scaled(found, _byte(found))}).{cast}"
    constants = (
        _constants(found, "val {} = floatArrayOf({})").replace(", ", "f, ").replace(")", "f)")
    )
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
{constants}val image = ByteBuffer.allocateDirect({size * bytes_each}).order(ByteOrder.nativeOrder())
for (i in 0 until {size}) image.{put}({value})
image.rewind()
{outputs}
interpreter.runSignature(mapOf("image" to image), mapOf({pairs}))
val labels = listOf({_strings(found.class_names)})"""


def kotlin_compiled(found: Facts) -> str:
    write = "writeFloat" if found.dtype == "float32" else "writeInt8"
    array = "FloatArray" if found.dtype == "float32" else "ByteArray"
    cast = "toFloat()" if found.dtype == "float32" else "toByte()"
    value = f"({_scaled(found, _byte(found))}).{cast}"
    constants = (
        _constants(found, "val {} = floatArrayOf({})").replace(", ", "f, ").replace(")", "f)")
    )
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
{constants}inputs[0].{write}({array}({_size(found)}) {{ i -> {value} }})
model.run(inputs, outputs)
{read}"""


def swift(found: Facts) -> str:
    kind = "Float32" if found.dtype == "float32" else "UInt8"
    constants = _constants(found, "let {}: [Float32] = [{}]")
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
{constants}let image = (0..<{_size(found)}).map {{ i in {kind}({_scaled(found, f"{kind}{_byte(found)}")}) }}
try interpreter.copy(image.withUnsafeBufferPointer {{ Data(buffer: $0) }}, toInputAt: 0)
try interpreter.invoke()
{read}
let labels = [{_strings(found.class_names, "")}]"""


def dart(found: Facts) -> str:
    height, width, channels = found.shape
    kind = "Float32List" if found.dtype == "float32" else "Uint8List"
    suffix = ".toDouble()" if found.dtype == "float32" else ""
    constants = _constants(found, "const {} = [{}];")
    outputs = ", ".join(
        f"{n}: [List.filled({count}, 0.0)]" for n, count in enumerate(found.outputs.values())
    )
    return f"""\
import 'dart:typed_data';
import 'package:tflite_flutter/tflite_flutter.dart';

final interpreter = await Interpreter.fromAsset({_string(f"assets/{found.name}")});
{constants}final image = {kind}({_size(found)});
for (var i = 0; i < image.length; i++) {{
  image[i] = ({_scaled(found, _byte(found, "~/"))}){suffix};
}}
// In order: {printable(", ".join(found.outputs))}
final outputs = <int, Object>{{{outputs}}};
interpreter.runForMultipleInputs([image.reshape([1, {height}, {width}, {channels}])], outputs);
const labels = [{_strings(found.class_names)}];"""


def c(found: Facts) -> str:
    kind = "float" if found.dtype == "float32" else "uint8_t"
    constants = _constants(found, "static const float {}[] = {{{}}};")
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
{constants}static {kind} image[{_size(found)}];
for (int i = 0; i < {_size(found)}; i++) image[i] = ({kind})({_scaled(found, _byte(found))});
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
