"""The guide's programs, made from the facts of one file and the texts in `guide_programs/`.

There, @NAME@ stands for a fact, and a line that ends in `//@tag` belongs only to files of that
kind: `gray` or `colour`, `float` or `bytes`, `labels` where the classes are named, `face` where
they are expressions, `state` where the interpreter must be reset before each image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd._common.text import printable
from keras_kd.datasets.class_names import are_expressions
from keras_kd.datasets.pixel_values import PixelValues

PROGRAMS = Path(__file__).with_name("guide_programs")
# A face's square, in boxes from the brows to the chin: its side, and how far its middle lies above
# the box's, in heights.
FACE_SIDE, FACE_RISE = 1.17, 0.09
# Keywords of C23, and of C++, whose programs may include the C program.
_C_WORDS = frozenset(
    [
        "alignas",
        "alignof",
        "and",
        "and_eq",
        "asm",
        "auto",
        "bitand",
        "bitor",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "class",
        "compl",
        "concept",
        "const",
        "consteval",
        "constexpr",
        "constinit",
        "const_cast",
        "continue",
        "decltype",
        "default",
        "delete",
        "do",
        "double",
        "dynamic_cast",
        "else",
        "enum",
        "explicit",
        "export",
        "extern",
        "false",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "mutable",
        "namespace",
        "new",
        "noexcept",
        "not",
        "not_eq",
        "nullptr",
        "operator",
        "or",
        "or_eq",
        "private",
        "protected",
        "public",
        "register",
        "reinterpret_cast",
        "requires",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "static_assert",
        "static_cast",
        "struct",
        "switch",
        "template",
        "this",
        "thread_local",
        "throw",
        "true",
        "try",
        "typedef",
        "typeid",
        "typename",
        "typeof",
        "typeof_unqual",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "wchar_t",
        "while",
        "xor",
        "xor_eq",
    ]
)
_TAG = re.compile(r"\s*(?://|#)@([a-z ]+)$")


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
        difference: the largest one of these outputs between the kernels that were tried.
        tolerance: how far an app's outputs for the worked input may be from them.
        runtimes: the oldest ones on which the file is right.
        keeps_state: whether the interpreter must be reset before each image.
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
    difference: float
    tolerance: float
    runtimes: str
    keeps_state: bool = False


@dataclass(frozen=True)
class _Language:
    """How a language writes what the programs need.

    Attributes:
        quotient: the whole number of 64s in a place.
        images: types of an image of float32 and of uint8.
        row: one output's values.
        number: one value.
        filled: signs by which strings fill in variables.
    """

    quotient: str
    images: tuple[str, str]
    row: str = "[{}]"
    number: str = "{}"
    filled: str = ""


_LANGUAGES = {
    ".c": _Language("{} / 64", ("float", "uint8_t"), "{{{}}}", "{}f"),
    ".kt": _Language("{} / 64", ("FloatArray", "ByteArray"), "floatArrayOf({})", "{}f", "$"),
    ".swift": _Language("{} / 64", ("Float32", "UInt8")),
    ".dart": _Language("{} ~/ 64", ("Float32List", "Uint8List"), filled="$"),
    ".ts": _Language("Math.floor({} / 64)", ("Float32Array", "Uint8Array")),
    ".python": _Language("{} // 64", ("float32", "uint8")),
}


def program(found: Facts, name: str) -> str:
    """Return a program for one file.

    Args:
        found: the file's facts.
        name: of a text in `guide_programs/`.

    Returns:
        The program's text, without a line's end at its end.
    """
    tags, lines = _tags(found), []
    for line in (PROGRAMS / name).read_text("utf-8").splitlines():
        tag = _TAG.search(line)
        if tag is None or set(tag[1].split()) <= tags:
            lines.append(line[: tag.start()] if tag else line)
    words = _words(found, _LANGUAGES[Path(name).suffix])
    return re.sub(r"@([A-Z_]+)@", lambda place: words[place[1]], "\n".join(lines))


def _tags(found: Facts) -> set[str]:
    tags = {
        "gray" if found.shape[2] == 1 else "colour",
        "float" if found.dtype == "float32" else "bytes",
    }
    tags |= {"labels"} if found.class_names else set()
    tags |= {"state"} if found.keeps_state else set()
    return tags | ({"face"} if are_expressions(found.class_names) else set())


def _words(found: Facts, language: _Language) -> dict[str, str]:
    """What stands for each @NAME@."""
    return {
        "NAME": _commented(found.name),
        "FILE": _string(found.name, language.filled),
        "STEM": _string(Path(found.name).stem, language.filled),
        "ASSET": _string(f"assets/{found.name}", language.filled),
        **_words_of_image(found, language),
        **_words_of_outputs(found, language),
        **_words_of_example(found, language),
    }


def _words_of_image(found: Facts, language: _Language) -> dict[str, str]:
    height, width, channels = found.shape
    size, is_float = height * width * channels, found.dtype == "float32"
    scale, offset = found.pixels.line(channels)
    reversed_ = channels == 3 and found.pixels.channel_order == "bgr"
    return {
        "HEIGHT": str(height),
        "WIDTH": str(width),
        "CHANNELS": str(channels),
        "SIZE": str(size),
        "BYTES": str(size * (4 if is_float else 1)),
        "DTYPE": found.dtype,
        "ARRAY": language.images[0 if is_float else 1],
        "WRITE": "writeFloat" if is_float else "writeInt8",
        "SCALE": _numbers(scale),
        "OFFSET": _numbers(offset),
        "ORDER": "2, 1, 0" if reversed_ else "0, 1, 2",
        "SIDE": repr(FACE_SIDE),
        "RISE": repr(FACE_RISE),
        "BYTE": _byte(language, "(i + 2 - 2 * (i % 3))" if reversed_ else "i"),
    }


def _words_of_outputs(found: Facts, language: _Language) -> dict[str, str]:
    fields = _fields(found.outputs)
    return {
        "LABELS": ", ".join(_string(name, language.filled) for name in found.class_names),
        "OUTPUT_NAMES": _commented(", ".join(found.outputs)),
        "OUTPUT_STRINGS": ", ".join(_string(name, language.filled) for name in found.outputs),
        "FIELDS": ", ".join(
            f"{field}[{count}]" for field, count in zip(fields, found.outputs.values(), strict=True)
        ),
        "READ": "\n  ".join(
            "if (TfLiteTensorCopyToBuffer("
            f"TfLiteInterpreterGetOutputTensor(interpreter, {place}),\n"
            f"                               outputs->{field}, sizeof outputs->{field})"
            f' != kTfLiteOk)\n    return "output {place} is another than the guide\'s";'
            for place, field in enumerate(fields)
        ),
        "ROWS": ", ".join(f"arrayOf(FloatArray({count}))" for count in found.outputs.values()),
        "LISTS": ", ".join(
            f"{place}: [List.filled({count}, 0.0)]"
            for place, count in enumerate(found.outputs.values())
        ),
    }


def _words_of_example(found: Facts, language: _Language) -> dict[str, str]:
    """The outputs for the worked input."""
    return {
        "TOLERANCE": repr(found.tolerance),
        "JSON": json.dumps(found.example),
        "EXPECTED": ", ".join(
            language.row.format(", ".join(map(language.number.format, values)))
            for values in found.example.values()
        ),
    }


def _byte(language: _Language, place: str) -> str:
    """The worked input's number at a place of the file's input, before it is taken modulo 256."""
    return f"({place} * 37 + {language.quotient.format(place)} * 11)"


def _numbers(values: np.ndarray) -> str:
    return ", ".join(repr(float(f"{value:.9g}")) for value in values)


def _fields(names: Iterable[str]) -> list[str]:
    """Names as those of members of a structure in C, which differ."""
    fields: list[str] = []
    for name in names:
        word = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
        usable = word[:1].isalpha() and word not in _C_WORDS and word not in fields
        fields.append(word if usable else f"output_{len(fields)}_{word}")
    return fields


def _commented(text: str) -> str:
    """A name inside of a comment, which it can't end."""
    return printable(text).replace("*/", "* /").replace("/*", "/ *")


def _string(text: str, filled: str) -> str:
    """A string literal of all the languages here; `filled` are the signs by which a language fills
    in variables.
    """
    literal = json.dumps(printable(text), ensure_ascii=False)
    return "".join(f"\\{letter}" if letter in filled else letter for letter in literal)
