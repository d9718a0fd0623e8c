"""What files of Hugging Face, timm and Ultralytics beside a model, and Ultralytics' metadata inside
of one, say of its classes and pixels.
"""

from __future__ import annotations

import ast
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.text import plain_reason
from keras_kd.datasets.class_names import by_number
from keras_kd.datasets.pixel_values import UNIT, PixelValues, from_parts
from keras_kd.errors import ConfigError, ModelError

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
# Of Ultralytics: an entry of the archive in a `.tflite`; and keys in the metadata of an `.onnx`.
METADATA = "metadata.json"
# Of Ultralytics, beside a SavedModel and the `.tflite` files made of it.
METADATA_YAML = "metadata.yaml"
ONNX_KEYS = ("names", "class_names")
_NUMBERS = ([float], float, None)
_NAMES = ({str: str}, None)
_TIMM = {"mean": _NUMBERS, "std": _NUMBERS}
_CONFIG = {"id2label": _NAMES, "label_names": ([str], None), "pretrained_cfg": (_TIMM, None)}
_PROCESSOR = {
    "do_rescale": (bool, None),
    "rescale_factor": (float, None),
    "rescale_offset": (bool, None),
    "do_normalize": (bool, None),
    "image_mean": _NUMBERS,
    "image_std": _NUMBERS,
    "do_flip_channel_order": (bool, None),
}
# What transformers calls classes that nobody named.
_UNNAMED = re.compile(r"LABEL_\d+")
# Other programs write files of this name too, without such a line.
_OF_ULTRALYTICS = re.compile(r"(?:author|description): *['\"]?Ultralytics\b.*")
# What YAML writes on a line of its own for each name: `0: cat`, or `- cat`.
_NAMED = re.compile(r"\s+(?P<quote>['\"]?)(\d{1,6})(?P=quote): +(\S.*?)\s*")
_LISTED = re.compile(r"\s*- +(\S.*?)\s*")
# A text that YAML writes as it is; `: ` and ` #` mean something in it.
_PLAIN = re.compile(r"(?![?:,\[\]{}#&*!|>'\"%@`]|- )(?:(?!: | #).)*[^:\s]")
# Folders into which a hub's repository puts the model's other forms.
_FORMS = ("onnx", "saved_model")


def class_names(path: Path) -> tuple[str, list[str]] | None:
    """Return the class names in a `config.json` that belongs to a model.

    Args:
        path: the model's file or folder.

    Returns:
        The place and the names in order; None if nothing names them.

    Raises:
        ValueError: the names are not numbered from 0 on.
        OSError: the file can't be read.
    """
    for file in _beside(path, CONFIG):
        try:
            config = read_json(read_text(file), _CONFIG)
        except ValueError:
            continue  # many programs have a file of this name
        names = config.get("label_names") or by_number((config.get("id2label") or {}).items())
        if names and not all(map(_UNNAMED.fullmatch, names)):
            return str(file), names
    return None


def ultralytics_names(path: Path) -> tuple[str, list[str]] | None:
    """Return the class names in Ultralytics' `metadata.yaml` that belongs to a model.

    Args:
        path: the model's file or folder.

    Returns:
        The place and the names in order; None if nothing names them.

    Raises:
        ValueError: the names are not one a line, or not numbered from 0 on.
        OSError: the file can't be read.
    """
    for file in _beside(path, METADATA_YAML):
        lines = read_text(file).splitlines()
        if "names:" in lines and any(map(_OF_ULTRALYTICS.fullmatch, lines)):
            return str(file), _below(lines[lines.index("names:") + 1 :])
    return None


def _below(lines: list[str]) -> list[str]:
    """The names in the lines below `names:`, up to the next key."""
    found = list[tuple[int | str, str]]()
    for line in lines:
        if named := _NAMED.fullmatch(line):
            found.append((named[2], named[3]))
        elif listed := _LISTED.fullmatch(line):
            found.append((len(found), listed[1]))
        elif found and line[:1].isspace():  # YAML breaks long names
            number, text = found.pop()
            found.append((number, f"{text} {line.strip()}"))
        else:
            break
    return by_number((number, _text(scalar)) for number, scalar in found)


def _text(scalar: str) -> str:
    """The text that one line of YAML stands for; other forms of YAML are not read."""
    if re.fullmatch(r"'(?:[^']|'')*'", scalar):
        return scalar[1:-1].replace("''", "'")
    if scalar.startswith('"') and isinstance(quoted := json.loads(scalar), str):
        return quoted
    if not _PLAIN.fullmatch(scalar):
        raise ValueError(f"{scalar[:40]!r} is no plain or quoted name")
    return scalar


def of_dictionary(text: str) -> list[str] | None:
    """Return the class names in Ultralytics' metadata, a dict as Python prints it or JSON.

    Args:
        text: {number: name} or a list of names, or a dict that has it as "names".

    Returns:
        The names in order; None if the text is no such dict.

    Raises:
        ValueError: the names are not numbered from 0 on.
    """
    found = _literal(text)
    if isinstance(found, dict) and isinstance(found.get("names"), (dict, list)):
        found = found["names"]
    if isinstance(found, list):
        found = dict(enumerate(found))
    if not isinstance(found, dict) or not found:
        return None
    fits = all(isinstance(name, str) for name in found.values()) and all(
        isinstance(number, int) or str(number).isdecimal() for number in found
    )
    return by_number(found.items()) if fits else None


def _literal(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):  # literals alone, nothing is executed
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return parse(text)
    return None


def pixels(path: Path) -> PixelValues | None:
    """Return the pixel values that a `preprocessor_config.json`, or timm's `config.json`, states.

    Args:
        path: the model's file or folder.

    Returns:
        The pixel values; None if nothing states them.

    Raises:
        ModelError: they are damaged.
    """
    for name, schema, read in ((PROCESSOR, _PROCESSOR, _processed), (CONFIG, _CONFIG, _timm)):
        for file in _beside(path, name):
            try:
                found = read(read_json(read_text(file), schema))
            except (ValueError, OSError, ConfigError) as error:
                if name == CONFIG:
                    continue
                raise ModelError(
                    f"{file} can't be read ({plain_reason(error)}):"
                    " mend it, or state the pixel values by"
                    " --range, --mean and --std and remove it."
                ) from error
            if found is not None:
                return found
    return None


def _beside(path: Path, name: str) -> list[Path]:
    folders = [path.parent, *([path] if path.is_dir() else [])]
    if path.parent.name in _FORMS:
        folders.append(path.parent.parent)
    return [folder / name for folder in folders if (folder / name).is_file()]


def _processed(config: dict[str, Any]) -> PixelValues | None:
    """What transformers' image processors do: scale, subtract 1, normalise."""
    if not config.keys() & _PROCESSOR.keys():
        return None
    mean, std = _listed(config.get("image_mean")), _listed(config.get("image_std"))
    if config.get("do_normalize") is False:
        mean = std = None
    order = "bgr" if config.get("do_flip_channel_order") else None
    if config.get("do_rescale") is False:
        return from_parts(None, mean, std, order)
    offset = -1.0 if config.get("rescale_offset") else 0.0
    factor = config.get("rescale_factor")
    high = 1.0 if factor is None else round(255 * factor, 9)
    return from_parts((offset, high + offset), mean, std, order)


def _timm(config: dict[str, Any]) -> PixelValues | None:
    stated = config.get("pretrained_cfg") or {}
    mean, std = _listed(stated.get("mean")), _listed(stated.get("std"))
    return PixelValues(UNIT, mean or (), std or ()) if mean or std else None


def _listed(numbers: list[float] | float | None) -> tuple[float, ...] | None:
    if numbers is None:
        return None
    return tuple(numbers) if isinstance(numbers, list) else (float(numbers),)
