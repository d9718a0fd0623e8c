"""Keras' metrics that give no number, or a wrong one, for the labels and logits at hand."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import keras
from keras import losses, metrics, ops

from keras_kd.distiller import _batches
from keras_kd.distiller._shapes import HeadShape
from keras_kd.errors import ConfigError
from keras_kd.losses import class_weight_each
from keras_kd.models.surgery.keras_internals import is_of_keras, metric_function

# What each compares with the outputs: a row of shares for each image, or a class number.
OF_ROWS = (
    metrics.CategoricalAccuracy,
    metrics.TopKCategoricalAccuracy,
    metrics.CategoricalCrossentropy,
    metrics.BinaryCrossentropy,
    metrics.AUC,
    metrics.FBetaScore,
    metrics.Precision,
    metrics.Recall,
    metrics.Hinge,
    metrics.SquaredHinge,
    metrics.CategoricalHinge,
)
OF_NUMBERS = (
    metrics.SparseCategoricalAccuracy,
    metrics.SparseTopKCategoricalAccuracy,
    metrics.SparseCategoricalCrossentropy,
)
# Rank the columns of each image.
OF_COLUMNS = (
    *OF_NUMBERS,
    metrics.CategoricalAccuracy,
    metrics.TopKCategoricalAccuracy,
    metrics.CategoricalCrossentropy,
    metrics.CategoricalHinge,
    metrics.Accuracy,
    metrics.IoU,
)
OF_PROBABILITIES = (
    metrics.Accuracy,
    metrics.BinaryAccuracy,
    metrics.BinaryIoU,
    metrics.Precision,
    metrics.Recall,
    metrics.TruePositives,
    metrics.TrueNegatives,
    metrics.FalsePositives,
    metrics.FalseNegatives,
    metrics.SensitivityAtSpecificity,
    metrics.SpecificityAtSensitivity,
    metrics.PrecisionAtRecall,
    metrics.RecallAtPrecision,
    metrics.KLDivergence,
    metrics.Poisson,
    metrics.MeanSquaredError,
    metrics.MeanAbsoluteError,
    metrics.MeanAbsolutePercentageError,
    metrics.MeanSquaredLogarithmicError,
    metrics.RootMeanSquaredError,
    metrics.LogCoshError,
    metrics.CosineSimilarity,
    metrics.R2Score,
)
# Metrics that take probabilities, unless they are made with from_logits=True.
WITH_LOGITS = (
    metrics.AUC,
    metrics.BinaryCrossentropy,
    metrics.CategoricalCrossentropy,
    metrics.SparseCategoricalCrossentropy,
)


def by_head(given: Any, columns: Collection[str]) -> dict[str, list[Any]]:
    """Return metrics as `compile` takes them as a list for each head.

    Args:
        given: a list for the only head, a list or dict with metrics for each head, or None.
        columns: the student's heads, "" for one without a name.

    Raises:
        ConfigError: they are not by head, or a head is unknown.
    """
    if given is None:
        return {}
    if len(columns) == 1:
        return {next(iter(columns)): keras.tree.flatten(given)}
    if isinstance(given, (list, tuple)) and len(given) == len(columns):
        # Keras sorts a dict of outputs by name.
        given = dict(zip(sorted(columns), given, strict=True))
    if not isinstance(given, dict) or not set(given) <= set(columns):
        raise ConfigError(
            f"Metrics of a student with the heads {', '.join(columns)} must be a dict by head, e.g."
            f" {{{next(iter(columns))!r}: ['accuracy']}}. Received: {given!r}."
        )
    return {name: keras.tree.flatten(part) for name, part in given.items() if part is not None}


def refuse_losses(loss: Any, loss_weights: Any, others: Mapping[str, Any]) -> None:
    """Refuse the arguments of `compile` that would set another loss than the Distiller's.

    Raises:
        ConfigError: one is given.
    """
    if loss is not None or loss_weights is not None:
        raise ConfigError(
            "compile() takes no loss and no loss_weights: the Distiller has its own loss, weighed "
            "by alpha, beta and value_weight. Received: "
            f"loss={loss!r}, loss_weights={loss_weights!r}."
        )
    if others:
        raise ConfigError(
            f"compile() takes no {', '.join(others)}: the Distiller has its own losses, and "
            "takes its settings itself, Distiller(student, teacher, temperature=3, alpha=0.2), "
            "where alpha weighs the labels."
        )


def of_known_values(given: Mapping[str, list[Any]], columns: Mapping[str, Any]) -> Any:
    """Return metrics by head, of which Keras' own leave values that are NaN out, as the loss does.

    Args:
        given: metrics by head.
        columns: of the student's heads, None for a value.
    """
    found = {
        name: [_of_known(one) for one in part] if columns[name] is None else part
        for name, part in given.items()
    }
    # Keras makes metrics even of an empty dict, and asks for their results.
    return found.get("", found) or None


def _of_known(given: Any) -> Any:
    metric = given
    if isinstance(given, str) and given.lower() not in ("accuracy", "acc"):
        metric = metrics.get(given)
        metric.name = given
    own = isinstance(metric, metrics.Metric) and is_of_keras(metric)
    return OfKnown(metric) if own and not isinstance(metric, OfKnown) else given


class OfKnown(metrics.Metric):
    """A metric of the rows whose value is not NaN."""

    def __init__(self, metric: metrics.Metric) -> None:
        super().__init__(name=metric.name)
        self.metric = metric

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch: values (N,) or (N, 1), predictions (N, 1), and optional weights (N,)."""
        y_true = ops.reshape(ops.cast(y_true, "float32"), (-1, 1))
        known = ops.logical_not(ops.isnan(y_true))
        weights = ops.reshape(ops.cast(known, "float32"), (-1,))
        if sample_weight is not None:
            weights = weights * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        # NaN would stay NaN under a weight of 0.
        self.metric.update_state(ops.where(known, y_true, 0.0), y_pred, weights)

    def result(self) -> Any:
        """Return the metric of all batches so far."""
        return self.metric.result()


def labels_of_one_logit(labels: Any) -> Any:
    """Return labels as the one column (N, 1) that Keras compares, of rows of two shares the class
    of the larger one.
    """
    if len(labels.shape) != 2 or labels.shape[-1] != 2:
        return ops.reshape(labels, (-1, 1))
    return ops.cast(labels[:, 1:] > labels[:, :1], "float32")


def shown(
    labels: Any, outputs: Any, shapes: Mapping[str, HeadShape], heads: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return labels and outputs of a batch by head, as metrics compare them.

    Args:
        labels: of the batch.
        outputs: the student's.
        shapes: of its heads.
        heads: a `ClassHead` or `ValueHead` for each.

    Raises:
        ModelError: a head has no labels.
    """
    given, found = _batches.by_head(outputs, heads), _batches.by_head(labels, heads)
    for name, output in given.items():
        rows = shapes[name].outputs(output)
        found[name] = shapes[name].labels_of_metrics(_batches.required(found, name), rows)
        given[name] = heads[name].shown_to_metrics(rows)
        if heads[name].binary:
            found[name] = labels_of_one_logit(found[name])
    return found, given


def weights(
    labels: Mapping[str, Any],
    of_images: Mapping[str, Any],
    of_classes: Mapping[str, tuple[float, ...]],
    names: Collection[str],
) -> dict[str, Any]:
    """Return the weights of the weighted metrics by head, those of images times those of classes.

    Args:
        labels: rows by head.
        of_images: sample weights by head.
        of_classes: class weights by head.
        names: of all heads.

    Returns:
        Weights by head, None where a head has none; empty if no head has any.
    """
    found = dict(of_images)
    for name, given in of_classes.items():
        each = class_weight_each(labels[name], given)
        found[name] = each * found[name] if found.get(name) is not None else each
    # Keras asks for those of all heads.
    return {**dict.fromkeys(names), **found} if found else {}


def require_computable(
    given: Mapping[str, list[metrics.Metric]],
    labels: Mapping[str, Any],
    columns: Mapping[str, int | None],
) -> None:
    """Refuse metrics that do not fit the labels' form, or take logits for probabilities.

    Args:
        given: a model's metrics by head.
        labels: (N,), (N, 1) or (N, C), by head.
        columns: C of each head, whose metrics see logits; 1 for two classes by one logit, whose
            metrics see its sigmoid; None for a value, whose metrics all fit.

    Raises:
        ConfigError: the message names the metric and what to give in its place.
    """
    for name, found in given.items():
        label, count = labels[name], columns[name]
        if count is None or len(label.shape) == 0:
            continue
        rows = len(label.shape) > 1 and label.shape[-1] != 1
        for metric in found:
            if problem := _problem(metric, rows, count):
                of = f" of head {name!r}" if name else ""
                raise ConfigError(f"The metric {metric.name}{of} {problem}.")


def require_no_losses(given: Mapping[str, list[Any]], columns: Mapping[str, int | None]) -> None:
    """Refuse losses in the place of metrics, which would be computed from logits as from
    probabilities.

    Args:
        given: metrics by head, as `compile` takes them.
        columns: of the student's heads, None for a value.

    Raises:
        ConfigError: one of them is a loss of Keras, or a function of it.
    """
    functions = [one for one in vars(losses).values() if inspect.isfunction(one)]
    for one in [one for name, part in given.items() if (columns[name] or 1) > 1 for one in part]:
        if isinstance(one, losses.Loss) or one in functions:
            name = getattr(one, "name", None) or one.__name__
            raise ConfigError(
                f"{name} is a loss, and takes probabilities as a metric: give one of keras.metrics,"
                " with from_logits=True where it has that."
            )


def _kind(metric: metrics.Metric) -> tuple[type | None, dict[str, Any]]:
    """The class in keras.metrics that a metric is or stands for, with its settings; None for one
    of the user's own, which may take logits.
    """
    if not is_of_keras(metric):
        return None, {}
    function = metric_function(metric)
    if type(metric) is not metrics.MeanMetricWrapper:
        return type(metric), metric.get_config()
    if isinstance(function, losses.Loss):
        return getattr(metrics, type(function).__name__, metrics.Poisson), function.get_config()
    if not getattr(function, "__module__", "").startswith("keras."):
        return None, {}
    classes = {name.lower(): one for name, one in vars(metrics).items() if inspect.isclass(one)}
    # A loss that is no metric takes probabilities, as Poisson does.
    named = classes.get(function.__name__.replace("_", "").lower(), metrics.Poisson)
    return named, metric.get_config()


def _problem(metric: metrics.Metric, rows: bool, columns: int) -> str | None:
    """What is wrong with a metric for class numbers, or for rows of shares."""
    kind, config = _kind(metric)
    if kind is None:
        return None
    if columns == 1:
        return _problem_of_sigmoids(kind, config)
    later = "compute it after training from keras.ops.softmax(student.predict(images))"
    by_rank = config.get("top_k") is not None
    thresholded = issubclass(kind, metrics.FBetaScore) and config.get("threshold") is not None
    if thresholded or (issubclass(kind, OF_PROBABILITIES) and not by_rank):
        return f"takes probabilities, and the student gives logits: {later}"
    if issubclass(kind, WITH_LOGITS) and not config.get("from_logits"):
        return f"takes probabilities unless it is made with from_logits=True: do so, or {later}"
    of_shares, of_numbers = issubclass(kind, OF_ROWS), issubclass(kind, OF_NUMBERS)
    if isinstance(metric, metrics.IoU):
        of_shares, of_numbers = not metric.sparse_y_true, metric.sparse_y_true
        if metric.sparse_y_pred:
            return "compares predicted class numbers: make it with sparse_y_pred=False"
    if of_shares and not rows:
        return (
            "compares rows of shares, and the labels are class numbers: choose 'accuracy' or a"
            f" sparse_… metric, or give keras.utils.to_categorical(labels, {columns})"
        )
    if of_numbers and rows:
        return (
            "compares class numbers, and the labels are rows of shares: give labels.argmax(axis=1),"
            " also of the validation images, or choose a metric without sparse"
        )
    return None


def _problem_of_sigmoids(kind: type, config: Mapping[str, Any]) -> str | None:
    """What is wrong with a metric for the sigmoid of one logit."""
    if config.get("from_logits"):
        return "sees the sigmoid of the one logit: make it without from_logits"
    thresholds = keras.tree.flatten([config.get("threshold"), config.get("thresholds")])
    given = [threshold for threshold in thresholds if threshold is not None]
    if given and max(given) <= 0:
        return "sees the sigmoid of the one logit: make it with the threshold 0.5 for a logit of 0"
    if issubclass(kind, OF_COLUMNS) and not issubclass(kind, metrics.BinaryIoU):
        advice = "choose 'accuracy' or a Binary… metric"
        return f"compares columns, and the student gives one: {advice}"
    return None
