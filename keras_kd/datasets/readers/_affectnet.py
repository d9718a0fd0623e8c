"""AffectNet's two forms on disk, cropped to the face."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from keras_kd._common import csv_files
from keras_kd._common.arrays import mapped_array
from keras_kd._common.text import plain_reason
from keras_kd.datasets import Samples, class_names
from keras_kd.datasets.images import MAX_PIXELS, Size, height_width
from keras_kd.datasets.readers import _bad_rows, _image_files, _splitting
from keras_kd.errors import DataError

CLASS_NAMES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
# Numbers of rows that are not loaded.
NO_EXPRESSION = ("none", "uncertain", "no face")
FOLDERS = {"train": ("train_set", "train"), "test": ("val_set", "val", "validation")}
TABLES = {"train": ("training.csv",), "test": ("validation.csv",)}
SHARES = {"train": 0.95, "validation": 0.05}
INVALID = -2.0
# EmoNet's square around the landmarks' box: its side is so much of width + height.
CROP = 200 / 220
FARTHEST = 1e6  # pixels

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Row:
    """One image and what is known of it."""

    image: Path
    label: int
    valence: float
    arousal: float
    box: Box | None


def matches(path: Path) -> bool:
    """Whether `path` is a folder with annotations/N_exp.npy of its splits, or with AffectNet's csv
    tables.
    """
    return _annotated(path, "train") is not None or _table(path, "train") is not None


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: Size, clean: bool
) -> dict[str, Samples]:
    """Load some splits as uint8 (N, height, width, 3), each table of labels once; see
    `keras_kd.datasets.readers.affectnet`.
    """
    if path is None:
        raise DataError(
            "affectnet needs a path: give affectnet:PATH, the folder that holds train_set or"
            " training.csv."
        )
    found: dict[str, Samples] = {}
    for half in ("train", "test"):
        own = [split for split in splits if (split == "test") == (half == "test")]
        if not own:
            continue
        problems, rows_of = _rows_of_splits(path, half, skip_bad_rows, clean)
        for split in own:
            lost = tuple(problems if split == half else ())
            found[split] = _samples(rows_of[split], size, skip_bad_rows, lost)
    return {split: found[split] for split in splits}


def _rows_of_splits(
    path: Path, half: str, skip_bad_rows: bool, clean: bool
) -> tuple[list[str], dict[str, list[Row]]]:
    """The problems of a published half, and the rows of the splits that are cut from it."""
    problems: list[str] = []
    rows = [
        row
        for row in _rows(path, half, _report(problems, skip_bad_rows))
        if not clean or fits_expression(row)
    ]
    if not rows:
        raise DataError(
            f"{path} has no {half} images with one of the eight expressions: give the complete data"
            " set."
        )
    if half == "test":
        return problems, {half: rows}
    labels = np.array([row.label for row in rows], np.int64)
    chosen = _splitting.stratified(labels, CLASS_NAMES, SHARES)
    return problems, {
        split: [rows[number] for number in numbers] for split, numbers in chosen.items()
    }


def _samples(rows: list[Row], size: Size, skip_bad_rows: bool, lost: tuple[str, ...]) -> Samples:
    labels = np.array([row.label for row in rows], np.int64)
    paths, boxes = [row.image for row in rows], [row.box for row in rows]
    pictures = _image_files.read(
        paths,
        (*height_width(size), 3),
        skip_bad_rows,
        lambda picture, number: _cropped(picture, boxes[number]),
    )
    values = {
        name: np.array([getattr(row, name) for row in rows], np.float32)
        for name in ("valence", "arousal")
    }
    for column in values.values():
        column[column <= INVALID] = np.nan
    values = {name: column[pictures.kept] for name, column in values.items()}
    return Samples(
        pictures.images,
        labels[pictures.kept],
        CLASS_NAMES,
        values,
        lost + pictures.skipped,
        pictures.sizes,
        "expression",
    )


def sources(path: Path) -> list[Path]:
    """Return every file that the splits are read from."""
    found: list[Path] = []
    for half in FOLDERS:
        folder, table = _annotated(path, half), _table(path, half)
        found += [table] if table else []
        found += sorted((folder / "annotations").glob("[!.]*")) if folder else []
        if folder or table:
            found += [row.image for row in _rows(path, half, lambda problem: None)]
    return found


def fits_expression(row: Row) -> bool:
    """EmoNet's cleaning rule: whether valence v and arousal a fit the expression; unknown ones do
    not.

    Toisoul et al. 2021, with the intensity I = √(v² + a²): neutral I < 0.2; every other I > 0.2
    (disgust 0.3), and happy v > 0, sad v < 0, surprise a > 0, fear a ≥ 0 ≥ v, disgust v < 0,
    anger a > 0, contempt v < 0.
    """
    v, a = row.valence, row.arousal
    if min(v, a) <= INVALID:
        return False
    intensity = float(np.hypot(v, a))
    name = CLASS_NAMES[row.label]
    if name == "neutral":
        return intensity < 0.2
    fits = {
        "happy": v > 0,
        "sad": v < 0,
        "surprise": a > 0,
        "fear": a >= 0 >= v,
        "disgust": v < 0,
        "anger": a > 0,
        "contempt": v < 0,
    }
    return fits[name] and intensity > (0.3 if name == "disgust" else 0.2)


def face_square(landmarks: np.ndarray) -> Box:
    """EmoNet's crop of landmarks (68, 2), x before y: left, top, right, bottom, may leave the
    image.
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    half = float((high - low).sum()) * CROP / 2
    x, y = (low + high) / 2
    return float(x - half), float(y - half), float(x + half), float(y + half)


def _report(problems: list[str], skip_bad_rows: bool) -> Callable[[str], None]:
    def report(problem: str) -> None:
        if not skip_bad_rows:
            raise _bad_rows.refusal(problem, "mend or remove it")
        problems.append(problem)

    return report


def _rows(path: Path, half: str, report: Callable[[str], None]) -> Iterator[Row]:
    folder, table = _annotated(path, half), _table(path, half)
    if folder is None and table is None:
        raise DataError(
            f"{path} has no {half} split: expected {' or '.join(FOLDERS[half])} with images and"
            f" annotations, or {TABLES[half][0]}."
        )
    for row in _annotated_rows(folder, report) if folder else _table_rows(table, report):
        if row.label < len(CLASS_NAMES):
            yield row


def _annotated(path: Path, half: str) -> Path | None:
    folders = (path / name for name in FOLDERS[half])
    return next((folder for folder in folders if (folder / "annotations").is_dir()), None)


def _table(path: Path, half: str) -> Path | None:
    return next((path / name for name in TABLES[half] if (path / name).is_file()), None)


def _annotated_rows(folder: Path, report: Callable[[str], None]) -> Iterator[Row]:
    """Rows of images/N.jpg with annotations/N_exp.npy, N_val.npy, N_aro.npy and, where it is there,
    N_lnd.npy. Hidden files, as a Mac leaves on disks of other systems, are none.
    """
    for file in sorted((folder / "annotations").glob("[!.]*_exp.npy")):
        number = file.name.removesuffix("_exp.npy")
        try:
            parts = (file.with_name(f"{number}_{part}.npy") for part in ("exp", "val", "aro"))
            label, valence, arousal = map(_scalar, parts)
            landmarks = file.with_name(f"{number}_lnd.npy")
            points = mapped_array(landmarks).astype(float) if landmarks.is_file() else None
            row = _row(folder / "images" / f"{number}.jpg", label, valence, arousal, points)
        except (ValueError, TypeError, SystemError, OSError) as problem:
            # NumPy raises SystemError for text of characters that there are not.
            report(f"{file}: {plain_reason(problem)}")
            continue
        yield row


def _scalar(path: Path) -> float:
    """The one number in a .npy file, which may be stored as text."""
    return float(mapped_array(path).item())


def _table_rows(table: Path, report: Callable[[str], None]) -> Iterator[Row]:
    """Rows of the csv form; images lie in Manually_Annotated_Images or beside the table."""
    names = ("subDirectory_filePath", "facial_landmarks", "expression", "valence", "arousal")
    root = table.parent / "Manually_Annotated_Images"
    root = root if root.is_dir() else table.parent
    for line, (name, landmarks, label, valence, arousal) in csv_files.rows(table, names):
        try:
            image = _image_files.inside(root, root / name)
            points = np.array(landmarks.split(";"), float) if landmarks.strip() else None
            row = _row(image, float(label), float(valence), float(arousal), points)
        except ValueError as problem:
            report(f"{table}, line {line}: {problem}")
            continue
        yield row


def _row(
    image: Path, label: float, valence: float, arousal: float, landmarks: np.ndarray | None
) -> Row:
    if label not in range(11):
        expected = f"expected 0 to 10 ({class_names.numbered((*CLASS_NAMES, *NO_EXPRESSION))})"
        raise ValueError(f"the expression is {label:g}, {expected}")
    for name, value in (("valence", valence), ("arousal", arousal)):
        if not (-1 <= value <= 1 or value == INVALID):
            raise ValueError(f"the {name} is {value:g}, expected -1 to 1, or -2 where unknown")
    if landmarks is not None and (landmarks.size != 136 or not np.isfinite(landmarks).all()):
        raise ValueError(f"{landmarks.size} numbers of landmarks, expected 68 times x and y")
    if not image.is_file():
        raise ValueError(f"there is no image {image}")
    box = None if landmarks is None else face_square(landmarks.reshape(68, 2))
    # A crop is as large as its box, whatever the image's size.
    if box is not None and not (
        max(map(abs, box)) <= FARTHEST and (box[2] - box[0]) ** 2 <= MAX_PIXELS
    ):
        raise ValueError(
            f"the landmarks' square is {tuple(map(round, box))}, larger or farther off than any"
            " face"
        )
    return Row(image, int(label), valence, arousal, box)


def _cropped(picture: np.ndarray, box: Box | None) -> np.ndarray:
    """The square `box` of uint8 (H, W, C), black where it leaves the picture; the whole picture
    without one.
    """
    if box is None:
        return picture
    whole = Image.fromarray(picture if picture.shape[2] == 3 else picture[:, :, 0])
    part = np.asarray(whole.crop((round(box[0]), round(box[1]), round(box[2]), round(box[3]))))
    return part.reshape(*part.shape[:2], -1) if part.size else picture
