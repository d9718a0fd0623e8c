"""What OpenFace, iMotions and FaceReader export, as rows of a recording.

None of them gives the probabilities that our models give. What stands in their place is divided by
its sum and told by `Imported.meaning`, on the page too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from keras_kd._common.checked_files import read_text
from keras_kd.errors import DataError
from keras_kd.sessions._options import Task, seconds

# Action units of an expression: W. V. Friesen and P. Ekman, "EMFACS-7: Emotional Facial Action
# Coding System", 1983; those of them that OpenFace measures.
ACTION_UNITS = {
    "angry": (4, 5, 7, 23),
    "disgust": (9, 15),
    "fear": (1, 2, 4, 5, 7, 20, 26),
    "happy": (6, 12),
    "sad": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
}
FACS_SCALE = 5.0
EMOTIENT = {
    "Anger": "angry",
    "Contempt": "contempt",
    "Disgust": "disgust",
    "Fear": "fear",
    "Joy": "happy",
    "Neutral": "neutral",
    "Sadness": "sad",
    "Surprise": "surprise",
}
FACEREADER = {
    "Angry": "angry",
    "Contempt": "contempt",
    "Disgusted": "disgust",
    "Happy": "happy",
    "Neutral": "neutral",
    "Sad": "sad",
    "Scared": "fear",
    "Surprised": "surprise",
}


@dataclass(frozen=True)
class Imported:
    """A recording of another program.

    Attributes:
        times: in seconds from its first row, float64 (T,).
        boxes: x, y, width, height in pixels, float (T, 4); zeros where the program gives none.
        quality: 0..1, float (T,); NaN in rows without a face.
        chances: by class, float (T,) each, 0..1; they need not add up to 1.
        values: by name, float (T,) each.
        roll: degrees, clockwise, float (T,); NaN where the program gives none.
        meaning: of `chances`, a sentence.
        tasks: parts of the session that the program knows.
    """

    times: np.ndarray
    boxes: np.ndarray
    quality: np.ndarray
    chances: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    roll: np.ndarray
    meaning: str
    tasks: tuple[Task, ...] = field(default=())


def openface(path: Path) -> Imported:
    """Read OpenFace's csv (FeatureExtraction, one face)."""
    table = _numbers(_table(path, read_text(path), ","), path)
    _require(path, table, ("timestamp", "confidence", "success"), "OpenFace")
    if "face_id" in table and table["face_id"].nunique() > 1:
        raise DataError(f"{path} follows several faces: export one face's rows.")
    units = {int(name[2:4]): table[name] for name in table if _is_unit(name)}
    needed = {unit for group in ACTION_UNITS.values() for unit in group}
    if lacking := needed - set(units):
        names = ", ".join(f"AU{unit:02}_r" for unit in sorted(lacking))
        raise DataError(f"{path} lacks {names}: run FeatureExtraction with -aus.")
    chances = {
        name: np.mean([units[unit] for unit in group], axis=0) / FACS_SCALE
        for name, group in ACTION_UNITS.items()
    }
    chances["neutral"] = 1 - np.max(list(chances.values()), axis=0)
    seen = table["success"].to_numpy() == 1
    roll = np.degrees(table["pose_Rz"].to_numpy()) if "pose_Rz" in table else None
    return Imported(
        table["timestamp"].to_numpy(),
        _landmarks(table),
        np.where(seen, table["confidence"], np.nan),
        chances,
        {},
        np.full(len(table), np.nan) if roll is None else roll,
        "An expression's share is the mean intensity of its action units (EMFACS) over 5, the"
        " scale's end; neutral is 1 less the largest. Shares are divided by their sum. They are no"
        " probabilities.",
    )


def _is_unit(name: str) -> bool:
    return name.startswith("AU") and name.endswith("_r") and name[2:4].isdigit()


def _landmarks(table: pd.DataFrame) -> np.ndarray:
    """The boxes around 68 landmarks; zeros without them."""
    columns = [[f"{axis}_{number}" for number in range(68)] for axis in "xy"]
    if not {name for names in columns for name in names} <= set(table.columns):
        return np.zeros((len(table), 4))
    low, high = (
        np.stack([getattr(table[names], side)(axis=1) for names in columns], axis=1)
        for side in ("min", "max")
    )
    return np.concatenate([low, high - low], axis=1)


def imotions(path: Path) -> Imported:
    """Read iMotions' sensor data with columns of Emotient FACET, one respondent's."""
    lines = read_text(path).splitlines()
    header = next((n for n, line in enumerate(lines) if line.startswith("StudyName\t")), None)
    if header is None:
        raise DataError(f"{path} has no line that begins with StudyName: export it from iMotions.")
    table = _table(path, "\n".join(lines[header:]), "\t")
    evidence = {f"{theirs} Evidence": ours for theirs, ours in EMOTIENT.items()}
    needed = (*evidence, "EventSource", "Name", "NoOfFaces", "StimulusName", "Timestamp")
    _require(path, table, needed, "iMotions with Emotient FACET")
    table = table[table["EventSource"].str.contains("FACET")]
    if table.empty:
        raise DataError(
            f"{path} has no row of FACET in its column EventSource: export the data of Emotient"
            " FACET too."
        )
    if table["Name"].nunique() != 1:
        raise DataError(f"{path} must hold one respondent: export each alone.")
    # Rows of other sensors at the same time repeat the face's.
    table = table.drop_duplicates("Timestamp").reset_index(drop=True)
    stimuli = table["StimulusName"].to_numpy()
    boxes = [f"FaceRect {name}" for name in ("X", "Y", "Width", "Height")]
    chosen = [*evidence, "NoOfFaces", "Timestamp", *boxes, "Roll Degrees"]
    numbers = _numbers(table.reindex(columns=chosen, fill_value=""), path)
    times = (numbers["Timestamp"] - numbers["Timestamp"].iloc[0]).to_numpy() / 1000
    return Imported(
        times,
        numbers[boxes].fillna(0).to_numpy(),
        np.where(numbers["NoOfFaces"] > 0, 1.0, np.nan),
        {ours: 1 / (1 + 10.0 ** -numbers[theirs].to_numpy()) for theirs, ours in evidence.items()},
        {},
        numbers["Roll Degrees"].to_numpy(),
        "Each expression's share is 1 / (1 + 10^-evidence), as Emotient's evidence is the"
        " logarithm of the odds to base 10. Each expression is judged alone; shares are divided by"
        " their sum.",
        _stretches(times, stimuli),
    )


def _stretches(times: np.ndarray, names: np.ndarray) -> tuple[Task, ...]:
    """A task for each stretch of one stimulus."""
    starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist()]
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    # The last row lasts as long as the others, else a stretch of one row would be empty.
    ends = [*times[starts[1:]].tolist(), float(times[-1]) + step]
    found = zip(starts, ends, strict=True)
    return tuple(Task(float(times[at]), end, str(names[at])) for at, end in found if names[at])


def facereader(path: Path) -> Imported:
    """Read FaceReader's detailed log."""
    lines = read_text(path).splitlines()
    header = next((n for n, line in enumerate(lines) if line.startswith("Video Time\t")), None)
    if header is None:
        raise DataError(
            f"{path} has no line that begins with Video Time: export FaceReader's detailed log."
        )
    table = _table(path, "\n".join(lines[header:]), "\t")
    present = {theirs: ours for theirs, ours in FACEREADER.items() if theirs in table}
    _require(path, table, ("Neutral", "Happy", "Sad", "Angry"), "FaceReader")
    measured = [*present, *(name for name in ("Valence", "Arousal") if name in table)]
    # FIT_FAILED and FIND_FAILED stand where there is no face; some countries write 0,5.
    failed = (
        table[list(present)].apply(lambda column: column.str.contains("_FAILED|^$")).any(axis=1)
    )
    text = table[measured].where(~failed, "").apply(lambda one: one.str.replace(",", "."))
    numbers = _numbers(text, path)
    times = np.array([_clock(path, time) for time in table["Video Time"]])
    return Imported(
        times - times[0],
        np.zeros((len(table), 4)),
        np.where(failed, np.nan, 1.0),
        {ours: numbers[theirs].to_numpy() for theirs, ours in present.items()},
        {name.lower(): numbers[name].to_numpy() for name in measured if name not in present},
        np.full(len(table), np.nan),
        "Each expression's share is FaceReader's intensity, which is no probability. Shares are"
        " divided by their sum.",
    )


PROGRAMS: dict[str, Callable[[Path], Imported]] = {
    "openface": openface,
    "imotions": imotions,
    "facereader": facereader,
}


def _clock(path: Path, text: str) -> float:
    try:
        return seconds(text.replace(",", "."))
    except ValueError as error:
        raise DataError(f"{path} has no time of the form hh:mm:ss.mmm: {text!r:.40}.") from error


def _table(path: Path, content: str, separator: str) -> pd.DataFrame:
    """A table of text; names without the spaces around them."""
    try:
        table = pd.read_csv(
            io.StringIO(content),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=separator == ",",
            quoting=csv.QUOTE_NONE,
        )
    except ValueError as error:
        raise DataError(f"{path} can't be read as a table ({error}): export it again.") from error
    table.columns = [str(name).strip() for name in table.columns]
    if table.empty:
        raise DataError(f"{path} holds no row.")
    return table


def _numbers(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """float64; NaN where a cell is empty."""
    try:
        numbers = table.replace(r"^\s*$", np.nan, regex=True).astype(np.float64)
    except ValueError as error:
        raise DataError(f"{path} holds a text where a number belongs ({error}).") from error
    if np.isinf(numbers.to_numpy()).any():
        raise DataError(f"{path} holds an infinite number: export it again.")
    return numbers


def _require(path: Path, table: pd.DataFrame, columns: Sequence[str], program: str) -> None:
    if missing := [name for name in columns if name not in table]:
        raise DataError(f"{path} lacks {', '.join(missing)}: it is no export of {program}.")
