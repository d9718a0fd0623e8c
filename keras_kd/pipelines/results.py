"""The content of metrics.json for a run, its exported files, and the model card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_kd import exporters
from keras_kd._common import hardware, run_files
from keras_kd._common.files import write_text
from keras_kd.datasets.splits import Data
from keras_kd.evaluation import metrics, scoring
from keras_kd.exporters import targets
from keras_kd.models import fingerprints, sources
from keras_kd.pipelines import run_folder
from keras_kd.pipelines.ensemble import Ensemble
from keras_kd.pipelines.plan import Plan
from keras_kd.pipelines.supervision import Supervision
from keras_kd.reports import comparison_pictures, model_card, pictures, summary
from keras_kd.runtimes import predictors
from keras_kd.runtimes.predictors import Prediction, Predictor
from keras_kd.training.scores import best_epoch

# What every model that is trained here takes for pixels 0 and 255.
PIXEL_RANGE = (0.0, 255.0)


def of_student(
    plan: Plan,
    data: Data,
    student: keras.Model,
    predictor: Predictor,
    history: list[dict[str, float]],
    supervision: Supervision,
) -> dict[str, Any]:
    """Return size, operations, epochs and training time of the student, and the fingerprints of its
    origin.

    Args:
        plan: the run's plan.
        data: the data set.
        student: the trained model.
        predictor: the same model as a predictor.
        history: one row for each epoch.
        supervision: the teacher and its outputs.

    Returns:
        Part of metrics.json.
    """
    return {
        "student": sources.called(plan.student.architecture),
        "parameters": scoring.trainable_parameters(student),
        "trained_epochs": len(history),
        "best_epoch": best_epoch(history),
        "train_seconds": round(sum(row["seconds"] for row in history), 1),
        "multiply_accumulates": predictor.multiply_accumulates,
        "data": {"name": data.name, "called": data.called, "counts": data.counts()},
        "fingerprints": {
            "data": data.fingerprint,
            "teacher": _teacher_fingerprint(supervision),
            "weights": fingerprints.of_weights(student),
        },
    }


def _teacher_fingerprint(supervision: Supervision) -> str | None:
    if supervision.is_live:
        return supervision.teacher.model.fingerprint
    return supervision.soft_labels.key.teacher if supervision.soft_labels else None


def scores(
    data: Data, on_test: Prediction, on_validation: Prediction, supervision: Supervision
) -> dict[str, Any]:
    """Return the scores of the student on both splits, and those of the teacher.

    Args:
        data: the data set.
        on_test: the student's predictions for the test images.
        on_validation: the student's predictions for the validation images.
        supervision: the teacher and its outputs.

    Returns:
        Part of metrics.json.
    """
    found: dict[str, Any] = {
        "teacher": supervision.name and {"name": supervision.name, "accuracy": None},
        "test": scoring.scored(on_test, data.test),
        "validation": scoring.scored(on_validation, data.validation),
    }
    if supervision.teacher is not None:
        _add_teacher(found, data, on_test, supervision.teacher)
    if data.subsets:
        logits = {"validation": on_validation.logits, "test": on_test.logits}
        found[data.name] = scoring.subsets(data, logits)
    return found


def _add_teacher(found: dict[str, Any], data: Data, on_test: Prediction, teacher: Ensemble) -> None:
    teacher_on_test = teacher.predict("test")
    if teacher.model.tells_classes and on_test.logits.shape[1]:
        agreement = metrics.agreement(on_test.logits, teacher_on_test.logits)
        found["test"]["agreement"] = agreement
    found["teacher_test"] = scoring.scored(teacher_on_test, data.test)
    on_validation = scoring.scored(teacher.predict("validation"), data.validation)
    found["teacher"] |= {
        "accuracy": on_validation.get("accuracy"),
        "multiply_accumulates": teacher.model.multiply_accumulates,
    }


def exported(
    student: keras.Model, of_keras: Prediction, out: Path, formats: Sequence[str], data: Data
) -> dict[str, dict[str, Any]]:
    """Export the student, then score each file on its runtime and compare it with Keras' outputs.

    Args:
        student: the trained model.
        of_keras: Keras' predictions for the test images.
        out: the run's folder.
        formats: formats of the files, or targets that choose them.
        data: the data set.

    Returns:
        Part of metrics.json, by format or target.
    """
    class_names = data.class_names if of_keras.logits.shape[1] else None
    exporter = exporters.Exporter(
        student, data.train, class_names=class_names, value_range=PIXEL_RANGE
    )
    found = {}
    for format in formats:
        path = out / run_files.exported_file(format)
        # A run ends with its files: they are scored on the test images.
        if format in targets.TARGETS:
            exporters.export(
                student, path, samples=data.train, class_names=class_names,
                value_range=PIXEL_RANGE, min_agreement=0, target=format,
            )  # fmt: skip
        else:
            exporter.export(path, format, min_agreement=0)
        of_file = predictors.load(path).predict(data.test.images)
        found[format] = {
            "file": path.name,
            "bytes": path.stat().st_size,
            "max_logit_difference": float(np.abs(of_file.columns() - of_keras.columns()).max()),
            "test": scoring.scored(of_file, data.test),
        }
    return found


def write_report(
    out: Path,
    plan: Plan,
    data: Data,
    found: dict[str, Any],
    history: pd.DataFrame,
    command: str,
    on_test: Prediction,
) -> None:
    """Write pictures, model card and, last, metrics.json, which marks the run as complete.

    Args:
        out: the run's folder.
        plan: the run's plan.
        data: the data set.
        found: the content of metrics.json.
        history: one row for each epoch.
        command: the command that the user typed.
        on_test: the student's predictions for the test images.
    """
    _draw(out, data, found, history, on_test, found["student"])
    card = model_card.model_card(
        found,
        config=plan.options,
        data={**found["data"], "fingerprint": data.fingerprint},
        command=command,
        versions=run_folder.versions(),
        hardware=hardware.describe(),
        input_shape=data.image_shape,
        pictures=[name for name in model_card.PICTURES if (out / name).exists()],
    )
    write_text(out / run_files.CARD, card)
    # Last: this file marks the run as complete.
    write_text(out / run_files.METRICS, json.dumps(found, indent=2) + "\n")


def _draw(
    out: Path,
    data: Data,
    found: dict[str, Any],
    history: pd.DataFrame,
    on_test: Prediction,
    student: str,
) -> None:
    test, teacher = found["test"], found["teacher"]
    title = f"{student} on {data.called}, {test['n']} test images"
    values = {name: data.test.values[name] for name in test.get("values", ())}
    labels = data.test.hard_labels if "confusion" in test else None
    if labels is not None:
        pictures.confusion_picture(
            out / "confusion.png", test["confusion"], data.class_names, title
        )
        points = metrics.reliability(on_test.logits, labels)
        pictures.reliability_picture(out / "reliability.png", points, title)
    costs = summary.costs(found)
    if len(costs) > 1:
        comparison_pictures.cost_picture(out / "cost.png", costs, title)
    if len(values) == 2:
        pictures.values_picture(
            out / "values.png", values, on_test.values, labels, data.class_names, title
        )
    pictures.curves_picture(out / "curves.png", history, teacher and teacher["accuracy"])
