"""Class names of a model file: in a list of labels beside it, or inside a `.tflite` file."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.files import BAD_ARCHIVE
from keras_kd.datasets import class_names
from keras_kd.datasets.class_names import LABELS_FILE, canonical
from keras_kd.errors import ModelError
from keras_kd.models.form import ModelSpec

# As Teachable Machine, Lobe, LabelImg, the guides of Keras and Hugging Face call such a list.
STEMS = ("labels", "label", "labelmap", "classes", "class_names", "class_indices")
# Limit for a list of names, because a zip member may declare any size.
LARGEST = 2**20
# A list of names; Keras' class_indices (name: index), or the other way round ("0": name).
_JSON = ([str], {str: int}, {str: str})


def with_labels(form: ModelSpec, path: Path, stated: tuple[str, ...] | None) -> ModelSpec:
    """Return a file's specification with its class names from lists beside or inside the file.

    Args:
        form: what the file itself says.
        path: the file or folder. Lists in the folder of a SavedModel and in its `assets` count too.
        stated: class names that the user states; then no list is read.

    Returns:
        The specification; the file's own names are kept.

    Raises:
        ModelError: a list can't be read, or two of them differ.
    """
    if stated:
        return form
    own = [("it", form.class_names)] if form.class_names else []
    found = [*own, *_lists(path)]
    for place, names in found[1:]:
        if [*map(canonical, names)] != [*map(canonical, found[0][1])]:
            first, others = ", ".join(found[0][1]), ", ".join(names)
            raise ModelError(
                f"The labels contradict each other: {found[0][0]} names {first}, and {place} names "
                f"{others}: remove the wrong list, or name the classes by --classes."
            )
    return replace(form, class_names=found[0][1]) if found else form


def named_inside(form: ModelSpec, path: Path) -> bool:
    """Return whether a file itself names its classes, so that no list beside it has to.

    Args:
        form: what the file itself says.
        path: the file or folder.

    Returns:
        Whether its description, or the archive inside of it, has class names.

    Raises:
        ModelError: the names inside can't be read.
    """
    return form.class_names is not None or _inside(path) is not None


def _lists(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return place and names of each list that belongs to a file or folder."""
    folders = [path.parent, *([path, path / "assets"] if path.is_dir() else [])]
    files = [folder / f"{stem}{end}" for folder in folders for stem in STEMS for end in _READERS]
    found = [(str(file), names) for file in files if file.is_file() and (names := _of_file(file))]
    inside = _inside(path)
    return [*found, *([("the archive inside of it", inside)] if inside else [])]


def _of_file(file: Path) -> tuple[str, ...] | None:
    try:
        return _checked(_READERS[file.suffix](file))
    except (ValueError, OSError) as error:
        # Data sets have files of these names too, of images and their labels, say.
        if file.suffix == ".json" and file.stem != "class_indices":
            warnings.warn(f"{file} is passed over: it holds no list of class names.", stacklevel=4)
            return None
        raise ModelError(
            f"{file} can't be read as a list of class names ({error}): mend it (UTF-8), one name a"
            " line in a .txt, or {name: index} in a .json."
        ) from error


def _of_json(file: Path) -> list[str]:
    """The names of a list, of {name: index} or of {index: name}."""
    found = read_json(read_text(file), _JSON)
    if isinstance(found, list):
        return [class_names.plain(name) for name in found]
    by_index = (
        {number: name for name, number in found.items()}
        if all(isinstance(number, int) for number in found.values())
        else {int(number): name for number, name in found.items()}
    )
    return [class_names.plain(by_index[number]) for number in _counted(by_index, len(found))]


def _counted(numbers: Iterable[int], classes: int) -> range:
    """The numbers in order, which count from 0 or 1."""
    first = min(numbers, default=0)
    counted = range(first, first + classes)
    if first not in (0, 1) or set(numbers) != set(counted):
        raise ValueError(f"its {classes} classes are not numbered from 0 to {classes - 1}")
    return counted


_READERS: dict[str, Callable[[Path], list[str]]] = {".txt": class_names.read, ".json": _of_json}


def _inside(path: Path) -> tuple[str, ...] | None:
    """The one text file in the archive that TFLite metadata appends to a `.tflite`."""
    if path.suffix != ".tflite" or not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [entry for entry in archive.infolist() if entry.filename.endswith(".txt")]
            named = [entry for entry in texts if entry.filename == LABELS_FILE] or texts
            if len(named) != 1:
                return None
            if named[0].file_size > LARGEST:
                raise ValueError(f"it declares {named[0].file_size:,} bytes")
            lines = archive.read(named[0]).decode("utf-8-sig").splitlines()
        return _checked(class_names.parsed(lines))
    except BAD_ARCHIVE as error:
        raise ModelError(
            f"The class names inside {path} can't be read ({error}): export it again."
        ) from error


def _checked(names: list[str]) -> tuple[str, ...] | None:
    if wrong := class_names.problem(names):
        raise ValueError(wrong)
    return tuple(names) or None
