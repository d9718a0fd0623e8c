"""Faces in pictures, or pictures as a whole: label, probabilities and box of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from keras_kd._common.files import require_apart, written_whole
from keras_kd._common.paths import advice
from keras_kd._common.text import encodable
from keras_kd._common.user_warnings import warn
from keras_kd.datasets import decoding, images
from keras_kd.errors import DataError, kept
from keras_kd.sessions import SIDE
from keras_kd.sessions._detectors import Detector
from keras_kd.sessions._faces import Box, Face, blurred, crop
from keras_kd.sessions._quality import quality
from keras_kd.sessions._reader import Reader

UNCERTAIN = "uncertain"
_LOOKED_AT = 10_000  # files and folders in a folder's own folders
FRAME = (255, 196, 0)


@dataclass(frozen=True)
class Reading:
    """One face, or a picture as a whole.

    Attributes:
        file: the picture.
        face: the face's position; None of a whole picture.
        label: the most probable class, or "uncertain" below the required probability.
        probabilities: 0..1 by class.
        values: by name, e.g. valence and arousal.
        quality: 0..1, see `Quality`; None of a whole picture.
    """

    file: str
    face: Face | None
    label: str
    probabilities: dict[str, float]
    values: dict[str, float]
    quality: float | None

    def record(self) -> dict[str, Any]:
        """Return everything as plain values, with the box in whole pixels."""
        read = {
            "file": self.file,
            "label": self.label,
            "probabilities": self.probabilities,
            **self.values,
        }
        if self.face is None or self.quality is None:
            return read
        return {
            **read,
            "box": [round(value) for value in self.face.box],
            "detection_score": round(self.face.score, 4),
            "quality": round(self.quality, 4),
        }


def expand(patterns: Iterable[str]) -> list[Path]:
    """Return the picture files that are named, lie in a named folder or match a glob.

    Args:
        patterns: files, folders or globs.

    Returns:
        The files in order, each once. A warning tells of pictures in a folder's own folders.

    Raises:
        DataError: a pattern matches nothing, or a folder's pictures lie in its folders alone.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            fitting = _pictures(path.iterdir(), pattern)
            _tell_deeper(path, pattern, bool(fitting))
        # Before globs: a file's own name may hold [ or *.
        elif path.exists():
            fitting = [path]
        else:
            # Path.glob takes relative patterns alone.
            root = Path(path.anchor)
            try:
                named = root.glob(str(path.relative_to(root))) if path.name else []
                fitting = _pictures(named, pattern)
            except ValueError as error:
                raise DataError(
                    f"{pattern} is no pattern of files ({error}): write ** as a folder of its own."
                ) from error
        if not fitting:
            usual = f"give files, folders or globs of {', '.join(decoding.suffixes())}"
            raise DataError(f"No picture at {pattern}: {advice(pattern, usual)}.")
        found += fitting
    return list(dict.fromkeys(found))


def _tell_deeper(folder: Path, pattern: str, holds_others: bool) -> None:
    """Warn of pictures in deeper folders, or raise DataError where there are no others."""
    picture = _deeper_picture(folder)
    if picture is None:
        return
    all_of_them = f"'{Path(pattern) / '**' / '*'}'"
    if not holds_others:
        raise DataError(
            f"{pattern} holds no picture itself, but its folders do, as {picture}: give"
            f" {all_of_them}."
        )
    warn(
        f"left out: pictures in deeper folders of {pattern}, as {picture}: {all_of_them} names them"
        " too."
    )


def _deeper_picture(folder: Path) -> Path | None:
    """A picture in a folder's own folders; of a large tree only the first _LOOKED_AT entries are
    looked at.
    """
    suffixes, looked_at = decoding.suffixes(), 0
    for place, folders, files in os.walk(folder):
        # Nothing hidden, as a disk station's small copies.
        folders[:] = sorted(name for name in folders if not name.startswith((".", "@")))
        if Path(place) == folder:
            continue
        for name in sorted(files):
            if not name.startswith((".", "@")) and Path(name).suffix.lower() in suffixes:
                return Path(place, name)
        looked_at += len(files) + len(folders)
        if looked_at > _LOOKED_AT:
            return None
    return None


def _pictures(files: Iterable[Path], pattern: str) -> list[Path]:
    """Return the pictures among files, sorted, without hidden ones; a warning names those that need
    another package.
    """
    # A Mac leaves ._1.jpg beside 1.jpg on others' disks, which is no picture.
    named = sorted(file for file in files if not file.name.startswith("."))
    unread = [file for file in named if file.suffix.lower() in decoding.HEIC_SUFFIXES]
    if unread and unread[0].suffix.lower() not in decoding.suffixes():
        warn(f"{len(unread):,} HEIC files at {pattern} are left out: {decoding.HEIC_HINT}.")
    return [file for file in named if file.suffix.lower() in decoding.suffixes()]


def predict(
    files: Iterable[Path],
    reader: Reader,
    detector: Detector | None,
    confidence: float = 0.0,
    side: float = SIDE,
    pictures: Path | None = None,
    redact: bool = False,
    advance: Callable[[int], None] = lambda count: None,
    unread: dict[str, DataError] | None = None,
) -> dict[str, list[Reading]]:
    """Read the faces in picture files.

    Args:
        files: the pictures; they are turned upright by their Exif orientation.
        reader: the model.
        detector: the face detector; None to read each picture as a whole.
        confidence: smallest probability of a label; faces below it are "uncertain".
        side: width of the crop in widths of the face box, as the model was trained.
        pictures: folder for copies with boxes and labels drawn; None for none.
        redact: coarsen the faces in these copies beyond recognition.
        advance: called with 1 after each picture.
        unread: takes the error of each picture that can't be read, by file; None: the first is
            raised.

    Returns:
        The readings by file, with the most certain face first; an empty list if there is no face,
            or if the picture is in `unread`.

    Raises:
        DataError: a picture can't be read and `unread` is None, or two pictures would be annotated
            under one name.
        OutputError: a picture would be annotated under its own name or another's.
    """
    readings = {}
    files = list(files)
    names = _annotated_names(files, pictures)
    require_apart([pictures / name for name in names if pictures], files)
    # While one picture is drawn, compressed and forced to the disk, the next is read.
    with ThreadPoolExecutor(1) as pool:
        drawn: Future[None] | None = None
        for file, name in zip(files, names, strict=True):
            image = _image(file, unread)
            found = readings[str(file)] = (
                [] if image is None else _read(image, str(file), reader, detector, confidence, side)
            )
            if drawn is not None:
                drawn.result()
            if pictures is not None and image is not None:
                drawn = pool.submit(_draw, image, found, redact, pictures / name)
            advance(1)
        if drawn is not None:
            drawn.result()
    return readings


def _image(file: Path, unread: dict[str, DataError] | None) -> np.ndarray | None:
    """The picture, uint8 (H, W, 3); None where it can't be read and `unread` takes the error."""
    with kept(unread, str(file)):
        return images.with_channels(decoding.read(file)[None], 3)[0]
    return None


def _annotated_names(files: list[Path], pictures: Path | None) -> list[str]:
    # The suffix becomes a part of the name: a.jpg and a.png may be given together.
    names = [f"{file.stem}{file.suffix.replace('.', '_')}.png" for file in files]
    if pictures is not None and len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise DataError(
            f"Several pictures would be annotated as {pictures / name}: give each folder's on its"
            " own."
        )
    return names


def _draw(image: np.ndarray, found: list[Reading], redact: bool, path: Path) -> None:
    shown = blurred(image, [_box(image, reading) for reading in found]) if redact else image
    with written_whole(path) as temporary:
        annotated(shown, found).save(temporary)


def _box(image: np.ndarray, reading: Reading) -> Box:
    return reading.face.box if reading.face else (0, 0, image.shape[1] - 1, image.shape[0] - 1)


def _read(
    image: np.ndarray,
    file: str,
    reader: Reader,
    detector: Detector | None,
    confidence: float,
    side: float,
) -> list[Reading]:
    faces = detector.find(image) if detector else [None]
    if not faces:
        return []
    cuts = [crop(image, face.box, side, face.roll) if face else image for face in faces]
    probabilities, values = reader.read(cuts)
    return [
        Reading(
            file,
            face,
            named(reader.class_names, row, confidence),
            dict(zip(reader.class_names, np.round(row, 6).tolist(), strict=True)),
            {name: round(float(column[number]), 4) for name, column in values.items()},
            quality(face, cut).overall if face else None,
        )
        for number, (face, cut, row) in enumerate(zip(faces, cuts, probabilities, strict=True))
    ]


def named(class_names: tuple[str, ...], probabilities: np.ndarray, confidence: float) -> str:
    """Return the label of a face.

    Args:
        class_names: the C names.
        probabilities: float (C,).
        confidence: smallest probability of a label.

    Returns:
        The most probable class; "uncertain" below the confidence; "" without classes.
    """
    if not class_names:
        return ""
    return (
        class_names[int(probabilities.argmax())] if probabilities.max() >= confidence else UNCERTAIN
    )


def table(
    readings: dict[str, list[Reading]], unread: Mapping[str, DataError] | None = None
) -> pd.DataFrame:
    """Return readings as a table.

    Args:
        readings: as `predict` returns them.
        unread: errors of the pictures that couldn't be read, by file; None if all were read.

    Returns:
        One row for each face (in `face` its number, from 1, which a whole picture lacks), and one
            without a label for each picture without a face; if it couldn't be read, its error is in
            `error`.
    """
    rows = []
    for path, faces in readings.items():
        file = encodable(path)
        for number, reading in enumerate(faces):
            record = reading.record()
            del record["file"]  # as the system names it
            chances = {f"p_{name}": chance for name, chance in record.pop("probabilities").items()}
            box = dict(zip(("x", "y", "width", "height"), record.pop("box", ()), strict=False))
            counted = {"face": number + 1} if box else {}
            rows.append({"file": file, **counted, **record, **box, **chances})
        if not faces:
            refused = {"error": str(unread[path])} if unread and path in unread else {}
            rows.append({"file": file, **refused})
    # With pictures without a face, a plain column would hold 1.0 and NaN.
    found = pd.DataFrame(rows)
    return found.astype({"face": "Int64"} if "face" in found else {})


def annotated(image: np.ndarray, readings: list[Reading]) -> Image.Image:
    """Draw boxes and labels into a copy of a picture.

    Args:
        image: uint8 (H, W, 3).
        readings: the faces of the picture.

    Returns:
        The copy.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    thickness = max(2, round(min(image.shape[:2]) / 200))
    font = ImageFont.load_default(size=max(12, round(min(image.shape[:2]) / 30)))
    for reading in readings:
        # In whole pixels, as in the record.
        x, y, width, height = (round(value) for value in _box(image, reading))
        draw.rectangle((x, y, x + width, y + height), outline=FRAME, width=thickness)
        chance = max(reading.probabilities.values(), default=None)
        parts = [reading.label] if chance is None else [f"{reading.label} {chance:.0%}"]
        text = " ".join(
            [*parts, *(f"{name} {value:+.2f}" for name, value in reading.values.items())]
        ).strip()
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        corner = max(0, min(x, image.shape[1] - right - 8)), max(0, y - bottom - 8)
        draw.rectangle((*corner, corner[0] + right + 8, corner[1] + bottom + 8), fill=FRAME)
        draw.text((corner[0] + 4, corner[1] + 2), text, fill=(0, 0, 0), font=font)
    return picture
