"""Scores of model files, and the table of all architectures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_kd import datasets, models
from keras_kd._common.progress import Terminal
from keras_kd.datasets import Samples
from keras_kd.datasets.splits import Data
from keras_kd.errors import ModelError, of_file
from keras_kd.evaluation import class_order, metrics
from keras_kd.evaluation.regression import regression
from keras_kd.runtimes import multiply_accumulates, predictors
from keras_kd.runtimes.predictors import Prediction, Predictor
from keras_kd.runtimes.stated import NOTHING, Stated

# Keras takes seconds to import, and a `.tflite` is scored without it.
if TYPE_CHECKING:
    import keras


def evaluate(
    paths: Sequence[str | Path],
    data: str,
    split: str = "test",
    stated: Sequence[Stated] | None = None,
    skip_bad_rows: bool = False,
    mirror: bool = False,
    terminal: Terminal | None = None,
) -> dict[str, Any]:
    """Score a `.keras`, `.h5` or `.tflite` file, or the average of several, on a data set.

    A model may have more classes than the data, which is told; an answer of these is wrong.

    Args:
        paths: the files, at least one. Each gets the images at its own size, resized from the
            original pixels.
        data: a data set, as the option `data`.
        split: "train", "validation" or "test".
        stated: the user's statements about each file; None for none.
        skip_bad_rows: leave out unreadable rows instead of raising.
        mirror: average the outputs over each image and its mirror image.
        terminal: where the user sees progress; None for nowhere.

    Returns:
        The scores as in metrics.json, under the name of the split; for data sets with test sets of
            their own (FER2013) also those.

    Raises:
        DataError: the data can't be read.
        ModelError: a file can't be used, lacks a class of the data, or has other classes than the
            other files.
    """
    terminal = terminal or Terminal(quiet=True)
    members: list[Predictor] = [
        predictors.load(path, of_file)
        for path, of_file in zip(paths, stated or [NOTHING] * len(paths), strict=True)
    ]
    source = datasets.DataSet(data, skip_bad_rows)
    with_subsets = hasattr(source.module, "subsets") and split == "test"
    parts = datasets.SPLITS if with_subsets else (split,)
    at = functools.cache(functools.partial(source.load, parts))
    shown = [at(member.spec.size) for member in members]
    samples = shown[0]
    terminal.notes(source.notes)
    of_split = samples[split]
    terminal.skipped(of_split.skipped)
    members = [
        _as_of_data(path, member, own[split], terminal)
        for path, member, own in zip(paths, members, shown, strict=True)
    ]
    predictor = predictors.averaged(members, mirror)
    # Classes that the data lack stand in each file's own order.
    members = predictors.in_one_order(members)
    if predictor.tells_classes:
        samples = {part: own.among(predictor.spec.class_names) for part, own in samples.items()}
    # Of the data sets with test sets, "train" is read only to find its copies among the others.
    scored_parts = [part for part in parts if not (part == "train" and with_subsets)]
    each = [predictors.averaged([member], mirror) for member in members]
    predictions = {part: _predicted(each, shown, part, terminal) for part in scored_parts}
    results = {split: scored(predictions[split], samples[split])}
    if len(results[split]) == 1:
        raise ModelError(unscored(" + ".join(map(str, paths)), predictor.values, data, of_split))
    if with_subsets and predictor.tells_classes:
        logits = {part: prediction.logits for part, prediction in predictions.items()}
        train, validation, test = (samples[part] for part in datasets.SPLITS)
        whole = Data(source.form, train, validation, test, source.module.subsets)
        results[source.form] = subsets(whole, logits)
    return results


def _predicted(
    members: Sequence[Predictor], shown: Sequence[dict[str, Samples]], part: str, terminal: Terminal
) -> Prediction:
    """The mean of the members' outputs for a split, each shown the images at its own size."""
    count = len(shown[0][part])
    with terminal.bar(f"Scoring {part}", count) as advance:
        found = [one.predict(own[part].images) for one, own in zip(members, shown, strict=True)]
        advance(count)
    return predictors.mean(found)


def unscored(name: str, values: Sequence[str], data: str, samples: Samples) -> str:
    """Return why a model has no scores on a data set, and what to do.

    Args:
        name: of the model.
        values: the names of its outputs.
        data: a data set, as the option `data`.
        samples: its images.

    Returns:
        One sentence.
    """
    return (
        f"{name} predicts {', '.join(values)}, for which {data} has no labels: use data with labels"
        f" for the model's outputs{_of_two(samples)}."
    )


def _of_two(samples: Samples) -> str:
    """What else one number may be."""
    if len(samples.class_names) != 2:
        return ""
    return (
        ", or name the two classes of one logit by --classes "
        f"{','.join(samples.class_names)}, the one of low numbers first"
    )


def _as_of_data(
    path: str | Path, predictor: Predictor, samples: Samples, terminal: Terminal
) -> Predictor:
    """The model with its classes in the data's order; what is assumed of it is told."""
    with of_file(path):
        return class_order.in_order_of_data(predictor, samples, tell=terminal.about(path))


def scored(prediction: Prediction, samples: Samples) -> dict[str, Any]:
    """Return all scores of a model on samples.

    Values that only the model or only the samples have, or that are unknown for all samples, are
    left out. Without classes, the result has `n` and the values.

    Args:
        prediction: the model's outputs for the samples.
        samples: the labelled images.

    Returns:
        The scores of `metrics.classification`, and `values` with those of `regression` by name.
    """
    results: dict[str, Any] = {"n": len(samples)}
    if prediction.logits.shape[1]:
        results = metrics.classification(prediction.logits, samples.labels, samples.class_names)
    known = [name for name, column in (samples.values or {}).items() if not np.isnan(column).all()]
    shared = [name for name in known if name in prediction.values]
    if shared:
        results["values"] = {
            name: regression(samples.values[name], prediction.values[name], name) for name in shared
        }
    return results


def subsets(data: Data, logits: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the scores on the data set's own test sets.

    Args:
        data: a data set with subsets.
        logits: float (N, C) of the validation and the test images, by split.

    Returns:
        The scores of `metrics.classification` by the name of the test set.
    """
    masks = data.subsets(data.train, data.validation, data.test)
    samples = {"validation": data.validation, "test": data.test}
    return {
        name: metrics.classification(
            np.concatenate(
                [logits[part][mask] for part, mask in zip(samples, chosen, strict=True)]
            ),
            np.concatenate(
                [samples[part].labels[mask] for part, mask in zip(samples, chosen, strict=True)]
            ),
            samples["test"].class_names,
        )
        for name, chosen in masks.items()
    }


def trainable_parameters(model: keras.Model) -> int:
    """Count the trainable parameters of a model.

    Args:
        model: the model.

    Returns:
        The number.
    """
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def model_table(advance: Callable[[int], None] = lambda count: None) -> list[dict[str, Any]]:
    """Return the size of every architecture in its published shape.

    Args:
        advance: called with 1 after each architecture.

    Returns:
        One row for each: name, input, trainable parameters, multiply-accumulates for one image,
            `compact_parameters` without dead taps, and `float32_bytes` and `int8_bytes` of these; a
            `.tflite` file is a few per cent larger.
    """
    rows = []
    for name in models.names():
        rows.append(_model_row(name))
        advance(1)
    return rows


def _model_row(name: str) -> dict[str, Any]:
    from keras_kd.models.surgery.compaction import dead_weights
    from keras_kd.models.surgery.keras_internals import no_memory_for_weights

    with no_memory_for_weights():  # Nothing but shapes is counted.
        model = models.build(name)
        multiplied = multiply_accumulates.of_model(model)
    parameters = trainable_parameters(model)
    compact_parameters = parameters - dead_weights(model)
    return {
        "name": name,
        "input": list(model.input_shape[1:]),
        "parameters": parameters,
        "compact_parameters": compact_parameters,
        "multiply_accumulates": multiplied,
        "float32_bytes": 4 * compact_parameters,
        "int8_bytes": compact_parameters,
    }
