"""The finished runs that belong to a row of the paper's tables, and their accuracies."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from keras_kd.reports.run_records import DATA_SETS, Record
from keras_kd.reproduction.published import (
    TABLE_IV,
    TEMPERATURE,
    Row,
)

ROWS = (
    *TABLE_IV,
    *(Row(data, f"best {student}", student) for data in DATA_SETS for student in ("A", "B", "C")),
)
_NOT_OF_RECIPE = ("seed", "baseline", "made_with")
# Options that a student without a teacher doesn't depend on.
_NOT_OF_STUDENT = (
    "teacher",
    "teacher_mirror",
    "teacher_epochs",
    "temperature",
    "alpha",
    "beta",
    "soft_loss",
    "baseline",
    "label_workers",
    "verify_soft_labels",
    "made_with",
)


def of_row(records: Sequence[Record], row: Row) -> list[Record]:
    """Return the runs of a row of Table IV, one for each seed.

    E1 to E6 are the longest runs of the student with that T and alpha and the recipe `paper`. The
    teacher has no run of its own: it was scored in the runs of its students. “best” is the run
    of a student that the validation images choose, and its runs with other seeds.

    Args:
        records: finished runs.
        row: the row of the table.

    Returns:
        The runs.
    """
    records = [record for record in records if record.data_set == row.data_set]
    if row.name == "teacher":
        return [record for record in records if _taught_by(record, row.student)][:1]
    records = [record for record in records if record.student == row.student]
    if row.alpha is None:
        best = max(
            records, key=lambda record: record.metrics["validation"]["accuracy"], default=None
        )
        return _one_a_seed(
            [
                one
                for one in records
                if best and _without(one, _NOT_OF_RECIPE) == _without(best, _NOT_OF_RECIPE)
            ]
        )
    options = {"recipe": "paper", "temperature": TEMPERATURE, "alpha": row.alpha, "beta": None}
    records = [
        one
        for one in records
        if all(one.config.get(name) == value for name, value in options.items())
    ]
    longest = max((record.epochs or 0 for record in records), default=0)
    return _one_a_seed([record for record in records if (record.epochs or 0) == longest])


def _one_a_seed(records: Sequence[Record]) -> list[Record]:
    """Without runs that were made again: of each seed the first."""
    return list({record.config.get("seed"): record for record in reversed(records)}.values())[::-1]


def _taught_by(record: Record, teacher: str) -> bool:
    return "teacher_test" in record.metrics and (record.teacher or "").startswith(teacher)


def _without(record: Record, left_out: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in record.config.items() if name not in left_out}


def accuracies(record: Record, records: Sequence[Record]) -> dict[str, float]:
    """Return the accuracies of a run.

    The same student without a teacher may have been trained in this run, or in another one whose
    options differ in those of teaching alone.

    Args:
        record: the run.
        records: finished runs.

    Returns:
        Shares 0..1 by test set; a test set that was not scored is left out.
    """
    metrics = record.metrics
    parts = {
        "both": (metrics.get("fer2013") or {}).get("both"),
        "test": metrics["test"],
        "validation": metrics["validation"],
        "int8": ((metrics.get("exported") or {}).get("int8") or {}).get("test"),
        "alone": metrics.get("baseline_test") or _alone(record, records),
    }
    figures = {name: part["accuracy"] for name, part in parts.items() if part}
    if "alone" in figures:
        figures["gain"] = figures["test"] - figures["alone"]
    return figures


def _alone(record: Record, records: Sequence[Record]) -> dict[str, Any] | None:
    """The test scores of the same student without a teacher in another run, or None."""
    if record.config.get("beta") == 0:
        return None  # It is that student itself.
    options = _without(record, _NOT_OF_STUDENT)
    for other in records:
        alike = (other.student, other.data_set) == (record.student, record.data_set)
        if alike and _without(other, _NOT_OF_STUDENT) == options:
            untaught = other.metrics["test"] if other.config.get("beta") == 0 else None
            if scores := other.metrics.get("baseline_test") or untaught:
                return scores
    return None


def accuracies_of_teacher(record: Record) -> dict[str, float]:
    """Return the accuracies of a run's teacher.

    Args:
        record: the run.

    Returns:
        Shares 0..1 by test set.
    """
    test, validation = (
        record.metrics["teacher_test"]["accuracy"],
        record.metrics["teacher"]["accuracy"],
    )
    # FER2013's two test sets have as many images each.
    return {"both": (test + validation) / 2, "test": test, "validation": validation}
