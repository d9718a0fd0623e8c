"""What OpenFace, iMotions and FaceReader export, as rows of a recording.

None of them gives the probabilities that our models give. What stands in their place is divided by
its sum and told by `Imported.meaning`, on the page too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from keras_kd._common import csv_files
from keras_kd.datasets.class_names import plain
from keras_kd.errors import DataError
from keras_kd.sessions._options import QUESTIONNAIRE, WHOLE, Task, seconds

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
LANDMARKS = [f"{axis}_{number}" for axis in "xy" for number in range(68)]
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
        start: the program's time of the first row, in seconds.
        joins: where the program's times start again, in seconds; they are counted on.
        renamed: the tasks that got a number, as others have their names.
    """

    times: np.ndarray
    boxes: np.ndarray
    quality: np.ndarray
    chances: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    roll: np.ndarray
    meaning: str
    tasks: tuple[Task, ...] = ()
    start: float = 0.0
    joins: tuple[float, ...] = ()
    renamed: tuple[str, ...] = ()


def openface(path: Path) -> Imported:
    """Read OpenFace's csv (FeatureExtraction, one face)."""
    needed = {unit for group in ACTION_UNITS.values() for unit in group}
    names = {unit: f"AU{unit:02}_r" for unit in sorted(needed)}
    columns, rows = _rows(
        path,
        "OpenFace",
        ("timestamp", "confidence", "success"),
        ("face_id", "pose_Rz", *names.values(), *LANDMARKS),
    )
    if lacking := set(names.values()) - set(columns):
        raise DataError(
            f"{path} lacks {', '.join(sorted(lacking))}: run FeatureExtraction with -aus."
        )
    table = _numbers(path, columns, rows)
    if "face_id" in table and table["face_id"].nunique() > 1:
        raise DataError(f"{path} follows several faces: export one face's rows.")
    chances = {
        name: np.mean([table[names[unit]] for unit in group], axis=0) / FACS_SCALE
        for name, group in ACTION_UNITS.items()
    }
    chances["neutral"] = 1 - np.max(list(chances.values()), axis=0)
    seen = table["success"].to_numpy() == 1
    roll = np.degrees(table["pose_Rz"].to_numpy()) if "pose_Rz" in table else None
    times = table["timestamp"].to_numpy()
    return Imported(
        times - times[0],
        _landmarks(table),
        np.where(seen, table["confidence"], np.nan),
        chances,
        {},
        np.full(len(table), np.nan) if roll is None else roll,
        "An expression's share is the mean intensity of its action units (EMFACS) over 5, the"
        " scale's end; neutral is 1 less the largest. Shares are divided by their sum. They are no"
        " probabilities.",
        start=float(times[0]),
    )


def _landmarks(table: pd.DataFrame) -> np.ndarray:
    """The boxes around 68 landmarks; zeros without them."""
    if not set(LANDMARKS) <= set(table.columns):
        return np.zeros((len(table), 4))
    across, down = table[LANDMARKS[:68]], table[LANDMARKS[68:]]
    low = np.stack([across.min(axis=1), down.min(axis=1)], axis=1)
    high = np.stack([across.max(axis=1), down.max(axis=1)], axis=1)
    return np.concatenate([low, high - low], axis=1)


def imotions(path: Path) -> Imported:
    """Read iMotions' sensor data with columns of Emotient FACET, one respondent's."""
    evidence = {f"{theirs} Evidence": ours for theirs, ours in EMOTIENT.items()}
    boxes = [f"FaceRect {name}" for name in ("X", "Y", "Width", "Height")]
    texts = ["EventSource", "Name", "StimulusName"]
    columns, rows = _rows(
        path,
        "iMotions with Emotient FACET",
        (*texts, *evidence, "NoOfFaces", "Timestamp"),
        (*boxes, "Roll Degrees"),
        "StudyName",
    )
    found = [(line, cells) for line, cells in rows if "FACET" in cells[0]]
    if not found:
        raise DataError(
            f"{path} has no row of FACET in its column EventSource: export the data of Emotient"
            " FACET too."
        )
    if len({cells[1] for _, cells in found}) != 1:
        raise DataError(f"{path} must hold one respondent: export each alone.")
    numbers = _numbers(path, columns[3:], ((line, cells[3:]) for line, cells in found))
    numbers = numbers.reindex(columns=[*evidence, "NoOfFaces", "Timestamp", *boxes, "Roll Degrees"])
    numbers["stimulus"] = [plain(cells[2]) for _, cells in found]
    # Rows of other sensors at the same time repeat the face's.
    numbers = numbers[numbers["Timestamp"].diff() != 0]
    stamps, stimuli = numbers["Timestamp"].to_numpy() / 1000, numbers["stimulus"].to_numpy()
    times, joins = _counted_on(path, stamps, stimuli)
    tasks = _stretches(times, stimuli)
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
        tasks,
        float(stamps[0]),
        joins,
        tuple(task.name for task in tasks if task.name not in set(stimuli)),
    )


def _counted_on(
    path: Path, stamps: np.ndarray, stimuli: np.ndarray
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Seconds from the first row, and those at which a stimulus' times start again: they are
    counted on, one usual step after the stimulus before.
    """
    steps = np.diff(stamps)
    back = steps < 0
    if (within := np.flatnonzero(back & (stimuli[1:] == stimuli[:-1]))).size:
        raise DataError(
            f"{path}: its times go back within the stimulus {stimuli[within[0]]!r}, after"
            f" {stamps[within[0]]:g} s: export each recording alone."
        )
    usual = np.median(steps[~back]) if not back.all() else 1.0
    times = stamps - stamps[0] + np.append(0.0, np.cumsum(np.where(back, usual - steps, 0.0)))
    return times, tuple(times[1:][back].tolist())


def _stretches(times: np.ndarray, names: np.ndarray) -> tuple[Task, ...]:
    """A task for each stretch of one stimulus; its name gets a number where it is taken."""
    starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist()]
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    # The last row lasts as long as the others, else a stretch of one row would be empty.
    ends = [*times[starts[1:]].tolist(), float(times[-1]) + step]
    tasks, given = list[Task](), {WHOLE, QUESTIONNAIRE}
    for at, end in zip(starts, ends, strict=True):
        name = own = str(names[at])
        if name in given:
            numbered = (f"{name} ({number})" for number in itertools.count(2))
            own = next(one for one in numbered if one not in given and one not in names)
        given.add(own)
        if name:
            tasks.append(Task(float(times[at]), end, own))
    return tuple(tasks)


def facereader(path: Path) -> Imported:
    """Read FaceReader's detailed log."""
    expressions = ["Neutral", "Happy", "Sad", "Angry"]
    others = [name for name in FACEREADER if name not in expressions]
    names, lines = _rows(
        path,
        "FaceReader (detailed log)",
        ("Video Time", *expressions),
        (*others, "Valence", "Arousal"),
        "Video Time",
    )
    table = pd.DataFrame([[line, *cells] for line, cells in lines], columns=["line", *names])
    present = {theirs: ours for theirs, ours in FACEREADER.items() if theirs in table}
    measured = names[1:]
    # FIT_FAILED and FIND_FAILED stand where there is no face.
    failed = (
        table[list(present)].apply(lambda column: column.str.contains("_FAILED|^$")).any(axis=1)
    )
    text = table[measured].where(~failed, "")
    numbers = _numbers(path, measured, zip(table["line"], text.to_numpy().tolist(), strict=True))
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
        start=float(times[0]),
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


def _rows(
    path: Path,
    program: str,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    first_column: str = "",
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Those of an export's columns that are there, and (line, cells of them) for each row."""
    found, rows = csv_files.opened(path, first_column, quotes=False)
    if not found:
        what = f" of column names that begins with {first_column}" * bool(first_column)
        raise DataError(f"{path} has no line{what}: it is no export of {program}.")
    if missing := [name for name in needed if name not in found]:
        raise DataError(
            f"{path} lacks {', '.join(missing)}: it is no export of {program}"
            f"{csv_files.other_separator(found)}."
        )
    names = [*needed, *(name for name in optional if name in found)]
    places = [found.index(name) for name in names]
    cells = (
        (line, [*map(str.strip, own)])
        for line, own in csv_files.cells(_whole(path, found, rows), places)
    )
    if (first := next(cells, None)) is None:
        raise DataError(f"{path} holds no row.")
    return names, itertools.chain([first], cells)


def _whole(
    path: Path, names: Sequence[str], rows: Iterable[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    """The rows; DataError for one of more cells than columns, as decimal commas between commas
    make.
    """
    for line, fields in rows:
        if csv_files.surplus(names, fields):
            raise DataError(
                f"{path}, line {line}: {len(fields)} cells for {len(names)} columns, as decimal"
                " commas between commas make: export it again, with tabs between the cells."
            )
        yield line, fields


def _numbers(
    path: Path, columns: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]]
) -> pd.DataFrame:
    """float64; NaN where a cell is empty."""
    return pd.DataFrame(
        [np.array([_number(path, line, cell) for cell in cells]) for line, cells in rows],
        columns=list(columns),
    )


def _number(path: Path, line: int, cell: str) -> float:
    """Some countries write 0,5, and programs on Windows -nan(ind) for what they could not
    compute.
    """
    try:
        number = float("nan" if cell in ("", "nan(ind)", "-nan(ind)") else cell.replace(",", "."))
    except ValueError as error:
        raise DataError(
            f"{path}, line {line}, holds a text where a number belongs: {cell!r:.40}."
        ) from error
    if math.isinf(number):
        raise DataError(f"{path}, line {line}, holds an infinite number: export it again.")
    return number
