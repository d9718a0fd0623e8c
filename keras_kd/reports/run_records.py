"""Finished runs, read from their folders; their weights are not needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_kd._common import run_files
from keras_kd._common.checked_files import read_json, read_text, read_toml
from keras_kd._common.folders import files_below
from keras_kd._common.paths import shortest_names
from keras_kd._common.text import plain_reason
from keras_kd.datasets.readers import fer2013, rafdb
from keras_kd.errors import DataError

# By name: the data set's module, whose published counts a run's test images must equal.
DATA_SETS = {"FER2013": fer2013, "RAF-DB": rafdb}
_SETTINGS = ("recipe", "temperature", "alpha", "epochs", "seed")
_COLUMNS = (
    *("student", "teacher", "recipe", "T", "alpha", "epochs", "seed"),
    *("validation %", "test %", "no teacher %", "gain", "int8 %", "ECE %", "minutes"),
)
_SCORES = {
    "n": (int, None),
    "accuracy": (float, None),
    "ece": (float, None),
    "recall": ({str: (float, None)}, None),
    "confusion": ([[int]], None),
    "values": ({str: {"ccc": (float, None)}}, None),
}
_CONFIG = {"epochs": (int, None), "made_with": ({str: str}, None)}
_METRICS = {
    "student": str,
    "parameters": int,
    "train_seconds": (float, None),
    "teacher": ({"name": str, "accuracy": (float, None)}, None),
    **dict.fromkeys(("test", "validation"), _SCORES),
    **dict.fromkeys(("baseline_test", "teacher_test"), (_SCORES, None)),
    "exported": ({str: {"test": _SCORES}}, None),
    "fer2013": ({str: _SCORES}, None),
    "data": (
        {"name": (str, None), "called": (str, None), "counts": ({str: {str: int}}, None)},
        None,
    ),
    "fingerprints": ({str: (str, None)}, None),
}


@dataclass(frozen=True)
class Record:
    """One finished run.

    Attributes:
        folder: the run's folder.
        config: the options in its config.toml, and `made_with`; empty without such a file.
        metrics: the content of its metrics.json.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def student(self) -> str:
        """The student's name."""
        return self.metrics["student"]

    @property
    def data_set(self) -> str | None:
        """FER2013 or RAF-DB if the run was scored on all test images of one, recognised by their
        number in each class.
        """
        counts = images_by_class(self.metrics["test"])
        for name, module in DATA_SETS.items():
            if counts == dict(zip(module.CLASS_NAMES, module.COUNTS["test"], strict=True)):
                return name
        return None

    @property
    def teacher(self) -> str | None:
        """The teacher's name, or None."""
        # The first runs with votes recorded no name for them.
        unnamed = "people's votes" if self.config.get("votes") else None
        return (self.metrics.get("teacher") or {}).get("name", unnamed)

    @property
    def epochs(self) -> int | None:
        """The number of epochs of the student, or None."""
        return self.config.get("epochs")


def images_by_class(part: dict[str, Any]) -> dict[str, int]:
    """Return the number of images of each class in a part of metrics.json.

    Args:
        part: e.g. the content of "test".

    Returns:
        Counts by class name; empty for a model without classes.
    """
    return dict(zip(part.get("recall") or (), map(sum, part.get("confusion") or ()), strict=True))


def find(paths: Iterable[str | Path]) -> list[Record]:
    """Read the runs in folders.

    Args:
        paths: folders that hold a metrics.json, or folders of such folders.

    Returns:
        The runs.

    Raises:
        DataError: a path holds no finished run, or a file in it can't be read.
    """
    records = []
    for path in map(Path, paths):
        files = [file for file in files_below(path) if file.name == run_files.METRICS]
        if not files:
            raise DataError(
                f"There is no finished run ({run_files.METRICS}) in {path}: check the path, or "
                "wait for its end."
            )
        records += [read(file.parent) for file in files]
    # A run may be named twice, by itself and by a folder above it.
    return list({record.folder.resolve(): record for record in records}.values())


def read(folder: Path) -> Record:
    """Read the finished run in a folder.

    Args:
        folder: the run's folder.

    Returns:
        The run.

    Raises:
        DataError: its files can't be read.
    """
    try:
        metrics = read_json(read_text(folder / run_files.METRICS), _METRICS)
        record = folder / run_files.OPTIONS
        config = read_toml(read_text(record), _CONFIG) if record.exists() else {}
        _require_whole(metrics)
    except (OSError, ValueError) as error:
        raise DataError(
            f"The run in {folder} can't be read ({plain_reason(error)}): make it again."
        ) from error
    return Record(folder, config, metrics)


def _require_whole(metrics: dict[str, Any]) -> None:
    """Raise ValueError where scores of classes lack the accuracy, or a matrix has not a row and
    column for each.
    """
    exported = [part["test"] for part in (metrics.get("exported") or {}).values()]
    named = [
        metrics.get(name) or {} for name in ("test", "validation", "baseline_test", "teacher_test")
    ]
    for part in (*named, *exported, *(metrics.get("fer2013") or {}).values()):
        classes, matrix = len(part.get("recall") or ()), part.get("confusion") or ()
        if any(len(row) != classes for row in (matrix, *matrix)):
            raise ValueError(
                f"a confusion matrix of {len(matrix)} rows stands for {classes} classes"
            )
        if classes and part.get("accuracy") is None:
            raise ValueError("an accuracy is missing")


def rows(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Return runs as rows of text; shares are in percent, and a missing part is "–".

    Args:
        records: the runs; runs on different data name their data.

    Returns:
        The rows, a header first.
    """
    data = _names_of_data(records)
    several = len(set(data)) > 1
    table: list[tuple[str, ...]] = [("run", *(("data",) if several else ()), *_COLUMNS)]
    folders = shortest_names(record.folder for record in records)
    for record, folder, name in zip(records, folders, data, strict=True):
        table.append((folder, *((name,) if several else ()), *_cells(record)))
    return table


def _cells(record: Record) -> tuple[str, ...]:
    """A run's cells below `_COLUMNS`."""
    metrics, config = record.metrics, record.config
    test, alone = _accuracy(metrics, "test"), _accuracy(metrics, "baseline_test")
    int8 = _accuracy(metrics.get("exported") or {}, "int8", "test")
    of_teacher = {"temperature", "alpha"} if record.teacher is None else set()
    settings = ("–" if name in of_teacher else config.get(name, "–") for name in _SETTINGS)
    return (
        record.student,
        record.teacher or "–",
        *map(str, settings),
        percent(_accuracy(metrics, "validation")),
        percent(test),
        percent(alone),
        "–" if test is None or alone is None else f"{100 * (test - alone):+.2f}",
        percent(int8),
        percent(metrics["test"].get("ece")),
        f"{metrics['train_seconds'] / 60:.1f}" if metrics.get("train_seconds") else "–",
    )


def _names_of_data(records: Sequence[Record]) -> list[str]:
    """Return what each run's data are called, with the start of their fingerprint where others of
    that name differ.
    """
    called, prints = [], []
    for record in records:
        data = record.metrics.get("data") or {}
        called.append(data.get("called") or data.get("name") or record.data_set or "–")
        prints.append((record.metrics.get("fingerprints") or {}).get("data") or "")
    pairs = list(zip(called, prints, strict=True))
    alike = {name: {given for other, given in pairs if other == name} for name in called}
    return [
        f"{name} {given[:6]}".strip() if len(alike[name]) > 1 else name for name, given in pairs
    ]


def _accuracy(part: dict[str, Any], *names: str) -> float | None:
    for name in names:
        part = part.get(name) or {}
    return part.get("accuracy")


def percent(share: float | None) -> str:
    """Format a share in percent with two decimals.

    Args:
        share: 0..1, or None.

    Returns:
        The text; "–" for None.
    """
    return "–" if share is None else f"{100 * share:.2f}"
