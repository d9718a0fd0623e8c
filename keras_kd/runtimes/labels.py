"""Class names of a model file: in a list of labels beside it, or inside a `.tflite` or `.onnx`."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from keras_kd._common.archives import BAD_ARCHIVE
from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.text import plain_reason
from keras_kd._common.user_warnings import warn
from keras_kd.datasets import class_names
from keras_kd.datasets.class_names import LABELS_FILE, as_typed, canonical, distinct
from keras_kd.errors import ModelError
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes import published, stored_spec

# As Teachable Machine, Lobe, LabelImg, the guides of Keras and Hugging Face call such a list, in
# any case. MODEL_labels.txt, behind the model's own name, is one too.
STEMS = ("labels", "label", "labelmap", "classes", "class_names", "class_indices")
# Limit for a list of names, because a zip member may declare any size.
LARGEST = 2**20
# A list of names; Keras' class_indices (name: index), or the other way round ("0": name).
_JSON = ([str], {str: int}, {str: str})


def with_labels(
    spec: ModelSpec, path: Path, stated: tuple[str, ...] | None, prefix: str = ""
) -> ModelSpec:
    """Return a file's specification with its class names from lists beside or inside the file.

    Args:
        spec: what the file itself says.
        path: the file or folder. Lists in the folder of a SavedModel and in its `assets` count too.
        stated: class names that the user states; then no list is read.
        prefix: of the option by which the user states them, as in `--student-classes`.

    Returns:
        The specification; the file's own names are kept.

    Raises:
        ModelError: a list can't be read, or two of them differ.
    """
    if stated:
        return spec
    own = [("it", spec.class_names)] if spec.class_names else []
    found = [*own, *_lists(path)]
    for place, names in found[1:]:
        if [*map(canonical, distinct(names))] != [*map(canonical, distinct(found[0][1]))]:
            first, others = as_typed(found[0][1]), as_typed(names)
            raise ModelError(
                f"The labels contradict each other: {found[0][0]} names {first}, and {place} names "
                f"{others}: remove the wrong list, or name the classes by --{prefix}classes."
            )
    return replace(spec, class_names=found[0][1]) if found else spec


def named_inside(spec: ModelSpec, path: Path) -> bool:
    """Return whether a file itself names its classes, so that no list beside it has to.

    Args:
        spec: what the file itself says.
        path: the file or folder.

    Returns:
        Whether its description, or the metadata inside of it, has class names.

    Raises:
        ModelError: the names inside can't be read.
    """
    return spec.class_names is not None or _inside(path) is not None


def _lists(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return place and names of each list that belongs to a file or folder."""
    folders = [path.parent, *([path, path / "assets"] if path.is_dir() else [])]
    files = [file for folder in folders for file in _called_as_lists(folder, path.stem)]
    found = [(str(file), names) for file in files if file.is_file() and (names := _of_file(file))]
    found += _of_hub(path)
    inside = _inside(path)
    return [*found, *([("the metadata inside of it", inside)] if inside else [])]


def _called_as_lists(folder: Path, model: str) -> list[Path]:
    """The files of a folder that are called as a list of labels, or of the labels of `model`."""
    behind = (f"{model}{between}{stem}".casefold() for between in "_-." for stem in STEMS)
    called: dict[str, list[Path]] = {
        f"{stem}{end}": [] for stem in (*STEMS, *behind) for end in _READERS
    }
    try:
        files = sorted(folder.iterdir())
    except OSError:  # It may be entered and not listed, or missing.
        files = [folder / name for name in called]
    for file in files:
        called.get(file.name.casefold(), []).append(file)
    return [file for found in called.values() for file in found]


def _of_hub(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Place and names of each list in the files that hubs and Ultralytics put beside a model."""
    found = []
    for name, read in (
        (published.CONFIG, published.class_names),
        (published.METADATA_YAML, published.ultralytics_names),
    ):
        try:
            if (listed := read(path)) and (names := _checked(listed[1])):
                found.append((listed[0], names))
        except (ValueError, OSError) as error:
            raise ModelError(
                f"The class names in {name} beside {path} can't be read ({plain_reason(error)}):"
                " mend them, or remove the file."
            ) from error
    return found


def _of_file(file: Path) -> tuple[str, ...] | None:
    try:
        return _checked(_READERS[file.suffix.lower()](file))
    except (ValueError, OSError) as error:
        # Data sets have files of these names too, of images and their labels, say.
        if file.suffix.lower() == ".json" and file.stem.lower() != "class_indices":
            warn(f"{file} is passed over: it holds no list of class names.")
            return None
        raise ModelError(
            f"{file} can't be read as a list of class names ({plain_reason(error)}):"
            " mend it (UTF-8), one name a line in a .txt, or {name: index} in a .json."
        ) from error


def _of_json(file: Path) -> list[str]:
    """The names of a list, of {name: index} or of {index: name}."""
    found = read_json(read_text(file), _JSON)
    if isinstance(found, list):
        return [class_names.plain(name) for name in found]
    if all(isinstance(number, int) for number in found.values()):
        return class_names.by_number((number, name) for name, number in found.items())
    return class_names.by_number(found.items())


_READERS: dict[str, Callable[[Path], list[str]]] = {".txt": class_names.read, ".json": _of_json}


def _inside(path: Path) -> tuple[str, ...] | None:
    """The names in the archive at the end of a `.tflite`, or in the metadata of an `.onnx`."""
    try:
        if path.suffix == ".onnx" and path.is_file():
            return _of_onnx(path)
        if path.suffix == ".tflite" and zipfile.is_zipfile(path):
            return _of_archive(path)
    except BAD_ARCHIVE as error:
        raise ModelError(
            f"The class names inside {path} can't be read ({plain_reason(error)}): export it again."
        ) from error
    return None


def _of_archive(path: Path) -> tuple[str, ...] | None:
    """The one text file in an archive: lines, or a dict as Ultralytics writes it."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        texts = [entry for entry in entries if entry.filename.endswith(".txt")] or [
            entry for entry in entries if entry.filename == published.METADATA
        ]
        named = [entry for entry in texts if entry.filename == LABELS_FILE] or texts
        if len(named) != 1:
            return None
        if named[0].file_size > LARGEST:
            raise ValueError(f"it declares {named[0].file_size:,} bytes")
        text = archive.read(named[0]).decode("utf-8-sig")
    if text.lstrip().startswith("{"):
        return _checked(published.of_dictionary(text) or [])
    return _checked(class_names.parsed(text.splitlines()))


def _of_onnx(path: Path) -> tuple[str, ...] | None:
    properties = stored_spec.onnx_properties(path)
    texts = [properties[key] for key in published.ONNX_KEYS if key in properties]
    return _checked(published.of_dictionary(texts[0]) or []) if texts else None


def _checked(names: list[str]) -> tuple[str, ...] | None:
    if wrong := class_names.problem(names):
        raise ValueError(wrong)
    return tuple(names) or None
