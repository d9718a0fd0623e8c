"""A run's results as a table: teacher, student, the student without a teacher, exported files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_kd._common.markdown import escaped

SCORE_TITLES = ("accuracy %", "balanced %", "macro-F1 %", "ECE %")


def summary_rows(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the results as rows of text: teacher, student, student without a teacher, exported
    files.

    Shares are in percent, sizes in megabytes (10^6 bytes). CCC is the concordance of a continuous
    value, -1 to 1. A missing part of `metrics` has no row, and scores that the student lacks have
    no column.

    Args:
        metrics: the content of metrics.json.

    Returns:
        The rows, a header first.
    """
    test = metrics["test"]
    names = list(test.get("values", ()))
    titles = SCORE_TITLES if "accuracy" in test else ()

    def row(
        name: str, part: Mapping[str, Any], parameters: str, megabytes: str = ""
    ) -> tuple[str, ...]:
        values = part.get("values", {})
        concordances = (correlation(values[one]["ccc"]) if one in values else "" for one in names)
        return (name, *(class_scores(part) if titles else ()), *concordances, parameters, megabytes)

    header = ("model", *titles, *(f"{escaped(name)} CCC" for name in names), "parameters", "MB")
    rows: list[tuple[str, ...]] = [header]
    parameters = f"{metrics['parameters']:,}"
    student = f"student {metrics['student']}"
    teacher = metrics.get("teacher")
    if teacher and metrics.get("teacher_test"):
        size = f"{teacher['parameters']:,}" if teacher.get("parameters") else ""
        rows.append(row(_as_teacher(teacher["name"]), metrics["teacher_test"], size))
    rows.append(row(f"{student}, distilled" if teacher else student, test, parameters))
    if metrics.get("baseline_test"):
        rows.append(row(f"{student}, no teacher", metrics["baseline_test"], parameters))
    for exported in (metrics.get("exported") or {}).values():
        megabytes = f"{exported['bytes'] / 1e6:.2f}"
        rows.append(row(exported["file"], exported["test"], parameters, megabytes))
    return rows


def _as_teacher(name: str | None) -> str:
    """Its name with the word before it, unless the name begins with that: teacher.keras."""
    return name if name and name.startswith("teacher") else f"teacher {name}"


def costs(metrics: Mapping[str, Any]) -> dict[str, tuple[int, float]]:
    """Return multiply-accumulates and test accuracy of teacher, student and baseline, as far as
    known.

    Args:
        metrics: the content of metrics.json.

    Returns:
        (multiply-accumulates, accuracy 0..1) by name.
    """
    of_teacher = (metrics.get("teacher") or {}).get("multiply_accumulates")
    of_student = metrics.get("multiply_accumulates")
    distilled = ", distilled" if metrics.get("teacher") else ""
    parts = {
        _as_teacher((metrics.get("teacher") or {}).get("name")): (of_teacher, "teacher_test"),
        f"student {metrics['student']}{distilled}": (of_student, "test"),
        f"student {metrics['student']}, no teacher": (of_student, "baseline_test"),
    }
    return {
        name: (cost, metrics[key]["accuracy"])
        for name, (cost, key) in parts.items()
        if cost and "accuracy" in (metrics.get(key) or {})
    }


def class_scores(part: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the scores of classes as text.

    Args:
        part: a part of metrics.json.

    Returns:
        The texts in the order of SCORE_TITLES; empty if there is no score.
    """
    keys = ("accuracy", "balanced_accuracy", "macro_f1", "ece")
    return tuple(percent(part[key]) if key in part else "" for key in keys)


def correlation(value: float | None) -> str:
    """Format a correlation.

    Args:
        value: -1..1, or None if it is undefined.

    Returns:
        The text.
    """
    return "undefined" if value is None else f"{value:.3f}"


def percent(share: float | None) -> str:
    """Format a share in percent.

    Args:
        share: 0..1, or None if there are no images.

    Returns:
        The text.
    """
    return "no images" if share is None else f"{100 * share:.2f}"
