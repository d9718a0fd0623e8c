"""Knowledge distillation as a Keras model that trains its student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_kd import losses
from keras_kd.errors import ConfigError, ModelError
from keras_kd.losses import FEATURE_LOSSES, SOFT_LOSSES
from keras_kd.models import heads
from keras_kd.models.surgery.keras_internals import all_layers

VALUE_LOSSES = ("mse", "shake-shake")
PARTS = {"label", "teacher", "features"}  # of y


@dataclass(frozen=True)
class FeatureMatch:
    """A feature map of the student that is to become like one of the teacher's.

    Attributes:
        student_layer: name of the layer whose output is compared, (N, h, w, c).
        teacher_layer: the same of the teacher, (N, H, W, C).
        kind: "hint" (a trained 1x1 convolution projects to C channels) or "attention" (no channels
            are compared).
        weight: of this part in the loss.
    """

    student_layer: str
    teacher_layer: str
    kind: str = "hint"
    weight: float = 1.0


class Distiller(keras.Model):
    """Trains `student` on α·CE(labels) + β·T²·KL(teacher ‖ student), equation (6) of arXiv
    2501.18538.

    α weighs the hard labels, as in that paper. The student is trained in place: save
    `distiller.student`, the Distiller itself is not meant to be saved.

    A student with one output has one head of classes; one whose output is a dict has a head under
    each name. A head of one column is a continuous value y, learnt by w·(mean (s - y)² +
    ν·teacher-bounded error), see `losses.teacher_bounded_each`; rows whose y is NaN are left out of
    it. The loss is the sum over the heads.

    Batches are `x, y` or `x, y, sample_weight`, where y is either the labels (then the live
    `teacher` sees each batch once) or `{"label": labels, "teacher": logits}` (then no teacher
    runs). Labels and logits are arrays, or dicts by head. Labels of classes are integers (N,) or
    (N, 1), or shares (N, C). A head that the teacher lacks learns from the labels alone.
    `sample_weight` weighs all terms, `class_weights` the labels' term alone. Regularisers of the
    student count. `evaluate` computes the plain cross-entropy with the labels (and the squared
    error of values) and changes no variable; metrics see the labels alone.

    Args:
        student: keras.Model, images -> logits (N, C), or a dict of logits and values (N, 1) by
            name.
        teacher: keras.Model, the same images -> the same, or None where batches bring the
            teacher's logits or nothing is learnt from one. Its `trainable` is set to False.
        temperature: T, above 0.
        alpha: α, 0..1, weight of the labels.
        beta: β, 0 or more, weight of the teacher; None for 1 - α.
        class_weights: (C,) one weight a class for the labels' term, a dict of such by head, or
            None.
        soft_loss: what the teacher's logits are learnt by, one of `losses.SOFT_LOSSES`.
        value_loss: "mse", or "shake-shake" for EmoNet's mixture with both correlations, see
            `losses.shake_shake`.
        value_weight: w, 0 or more.
        bound_weight: ν, 0 or more; Chen et al. 2017 use 0.5.
        margin: m of the teacher-bounded error, 0 or more.
        features: feature maps to match; they need the live teacher. The projections are trained
            beside the student.
        seed: of shake-shake's draws and the projections.

    Raises:
        ConfigError: a value outside its range, or `keras.distribution` is set where it does
            nothing, on TensorFlow.
        ModelError: a layer to match is missing.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model | None = None,
        temperature: float = 3.0,
        alpha: float = 0.15,
        beta: float | None = None,
        class_weights: np.ndarray | Mapping[str, np.ndarray] | None = None,
        soft_loss: str = "kl",
        value_loss: str = "mse",
        value_weight: float = 1.0,
        bound_weight: float = 0.5,
        margin: float = 0.0,
        features: Sequence[FeatureMatch] = (),
        seed: int = 0,
    ) -> None:
        _refuse_distribution()
        # compile() scales the loss for float16 by the policy of the model that it is called on.
        super().__init__(name="distiller", dtype=_policy(student), autocast=False)
        if not 0 < temperature < np.inf:
            raise ConfigError(
                f"temperature must be above 0 and finite. Received: temperature={temperature}."
            )
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha must be between 0 and 1. Received: alpha={alpha}.")
        weights = {"value_weight": value_weight, "bound_weight": bound_weight, "margin": margin}
        for name, value in ({} if beta is None else {"beta": beta}).items() | weights.items():
            if not 0 <= value < np.inf:
                raise ConfigError(f"{name} must be 0 or more and finite. Received: {name}={value}.")
        _require_one_of("soft_loss", soft_loss, SOFT_LOSSES)
        _require_one_of("value_loss", value_loss, VALUE_LOSSES)
        _require_known_outputs(student)
        self.student = student
        self.teacher = teacher
        if teacher is not None:
            teacher.trainable = False
        self.temperature = temperature
        self.alpha = alpha
        self.beta = 1 - alpha if beta is None else beta
        self.soft_loss_name, self.value_loss_name = soft_loss, value_loss
        self.value_weight, self.bound_weight, self.margin = value_weight, bound_weight, margin
        self.class_weights = _class_weights(student, class_weights)
        self.hard_loss = keras.metrics.Mean("hard_loss")
        self.soft_loss = keras.metrics.Mean("soft_loss")
        self.feature_loss = keras.metrics.Mean("feature_loss")
        self.draws = keras.random.SeedGenerator(seed) if value_loss == "shake-shake" else None
        self._match(features, seed)
        self._reports_parts = True
        self.built = True

    def _match(self, features: Sequence[FeatureMatch], seed: int) -> None:
        """Models that give the features to match with the outputs, and the projections."""
        self.features = tuple(features)
        self.projections: list[keras.Layer | None] = []
        if not features:
            return
        for match in features:
            _require_one_of("kind", match.kind, FEATURE_LOSSES)
        if self.teacher is None:
            raise ModelError(
                "Feature maps are matched with those of a live teacher: give Distiller a teacher."
            )
        self._student_features = _with_features(
            self.student, [match.student_layer for match in features]
        )
        self._teacher_features = _with_features(
            self.teacher, [match.teacher_layer for match in features]
        )
        self._teacher_features.trainable = False
        maps = zip(
            features,
            self._student_features.output[1],
            self._teacher_features.output[1],
            strict=True,
        )
        for number, (match, student, teacher) in enumerate(maps):
            initial = keras.initializers.HeUniform(seed + number)
            projection = layers.Conv2D(
                teacher.shape[-1], 1, kernel_initializer=initial, dtype="float32"
            )
            projection.build(student.shape)
            self.projections.append(projection if match.kind == "hint" else None)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's output; in training with features to match, the pair of it and the list of
        the maps.
        """
        if training and self.features:
            return self._student_features(inputs, training=training)
        return self.student(inputs, training=training)

    if keras.backend.backend() == "tensorflow":

        def train_step(self, data: Any) -> dict[str, Any]:
            """One step on TensorFlow: the teacher's forward pass, if any, stays off the gradient
            tape.
            """
            import tensorflow as tf

            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
            y = self._with_teacher(x, y)
            with tf.GradientTape() as tape:
                outputs = self(x, training=True)
                loss = self.compute_loss(x, y, outputs, sample_weight, training=True)
                scaled_loss = self.optimizer.scale_loss(loss)
            # fit() counts every image alike, also in a last, smaller batch.
            self._loss_tracker.update_state(loss * _replicas(), sample_weight=_rows(outputs))
            weights = self.trainable_weights
            self.optimizer.apply_gradients(
                zip(tape.gradient(scaled_loss, weights), weights, strict=True)
            )
            return self.compute_metrics(x, y, outputs, sample_weight)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The scalar to minimise; divided by the number of replicas under `tf.distribute`, as
        Keras' own losses are.
        """
        self._reports_parts = training
        if not training:
            return self._plain_loss(_label(y), y_pred, _label(sample_weight)) / _replicas()
        outputs, maps = y_pred if self.features else (y_pred, [])
        y = self._with_teacher(x, y)
        total = ops.convert_to_tensor(0.0)
        hard_total, soft_total = total, total
        teacher = _heads(y["teacher"], outputs) if isinstance(y, dict) and "teacher" in y else {}
        labels, weights = _heads(_label(y), outputs), _weights(sample_weight, outputs)
        for name, output in _heads(outputs, outputs).items():
            head = _ValueHead(self) if output.shape[-1] == 1 else _ClassHead(self, name)
            hard, soft, loss = head(
                _required(labels, name), teacher.get(name), output, weights.get(name)
            )
            hard_total, soft_total, total = hard_total + hard, soft_total + soft, total + loss
        count = _rows(outputs)
        self.hard_loss.update_state(hard_total, sample_weight=count)
        self.soft_loss.update_state(soft_total, sample_weight=count)
        if self.features:
            matched = self._feature_loss(maps, y["features"], next(iter(weights.values()), None))
            self.feature_loss.update_state(matched, sample_weight=count)
            total = total + matched
        for penalty in self.student.losses:
            total = total + ops.cast(penalty, "float32")
        return total / _replicas()

    def _plain_loss(self, y: Any, outputs: Any, sample_weight: Any) -> Any:
        labels, weights = _heads(y, outputs), _weights(sample_weight, outputs)
        total = 0.0
        for name, output in _heads(outputs, outputs).items():
            label, weight = _required(labels, name), weights.get(name)
            if output.shape[-1] == 1:
                label, weight = _known(label, weight)
                total = total + losses.weighted_mean(
                    losses.squared_error_each(label, output), weight
                )
            else:
                total = total + losses.weighted_mean(
                    losses.cross_entropy_each(label, output), weight
                )
        return total

    def _feature_loss(self, maps: Any, of_teacher: Any, weights: Any) -> Any:
        total = 0.0
        for match, projection, student, teacher in zip(
            self.features, self.projections, maps, of_teacher, strict=True
        ):
            student = student if projection is None else projection(ops.cast(student, "float32"))
            each = FEATURE_LOSSES[match.kind](teacher, student)
            total = total + match.weight * losses.weighted_mean(each, weights)
        return total

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Keras' metrics of the labels alone."""
        outputs = y_pred[0] if self.features and isinstance(y_pred, (tuple, list)) else y_pred
        return super().compute_metrics(x, _label(y), outputs, _label(sample_weight))

    def get_metrics_result(self) -> dict[str, Any]:
        """Keras' metrics; the parts of the loss only where they were computed, that is in training."""
        results = super().get_metrics_result()
        if not self._reports_parts or not self._learns_from_teacher:
            results.pop("soft_loss", None)
        if not self._reports_parts:
            results.pop("hard_loss", None)
        if not self._reports_parts or not self.features:
            results.pop("feature_loss", None)
        return results

    @property
    def _learns_from_teacher(self) -> bool:
        columns = [output.shape[-1] for output in keras.tree.flatten(heads.structure(self.student))]
        bounded = self.bound_weight * self.value_weight > 0 and 1 in columns
        return bounded or (self.beta > 0 and columns != [1] * len(columns))

    def _with_teacher(self, x: Any, y: Any) -> Any:
        stored = isinstance(y, dict) and "teacher" in y
        if self.features:
            if isinstance(y, dict) and "features" in y:
                return y
            outputs, maps = keras.tree.map_structure(
                ops.stop_gradient, self._teacher_features(x, training=False)
            )
            return {
                "label": _label(y),
                "teacher": y["teacher"] if stored else outputs,
                "features": maps,
            }
        if stored or not self._learns_from_teacher:
            return y
        if self.teacher is None:
            raise ModelError(
                "No teacher to learn from: give Distiller a teacher, or batches whose y is "
                '{"label": labels, "teacher": logits}, or set beta=0 (and bound_weight=0 where there are values).'
            )
        outputs = keras.tree.map_structure(ops.stop_gradient, self.teacher(x, training=False))
        return {"label": _label(y), "teacher": outputs}


class _ClassHead:
    """Loss of one set of classes: its parts from labels and teacher, and their weighed sum."""

    def __init__(self, distiller: Distiller, name: str) -> None:
        self._of, self._class_weights = distiller, distiller.class_weights.get(name)

    def __call__(
        self, labels: Any, teacher: Any, logits: Any, weights: Any
    ) -> tuple[Any, Any, Any]:
        each = losses.cross_entropy_each(labels, logits, self._class_weights)
        hard = losses.weighted_mean(each, weights)
        if not self._of.beta > 0:
            return hard, 0.0, self._of.alpha * hard
        if teacher is None:
            return hard, 0.0, hard
        each = SOFT_LOSSES[self._of.soft_loss_name](labels, teacher, logits, self._of.temperature)
        soft = losses.weighted_mean(each, weights)
        return hard, soft, self._of.alpha * hard + self._of.beta * soft


class _ValueHead:
    """Loss of one continuous value: its parts from labels and teacher, and their weighed sum."""

    def __init__(self, distiller: Distiller) -> None:
        self._of = distiller

    def __call__(
        self, values: Any, teacher: Any, output: Any, weights: Any
    ) -> tuple[Any, Any, Any]:
        values, weights = _known(values, weights)
        hard = losses.weighted_mean(losses.squared_error_each(values, output), weights)
        if self._of.value_loss_name == "shake-shake":
            correlations = (
                losses.pearson(values, output, weights),
                losses.concordance(values, output, weights),
            )
            draws = keras.random.uniform((3,), seed=self._of.draws)
            hard = losses.shake_shake(hard, *correlations, draws)
        if teacher is None or not self._of.bound_weight > 0:
            return hard, 0.0, self._of.value_weight * hard
        each = losses.teacher_bounded_each(values, teacher, output, self._of.margin)
        soft = losses.weighted_mean(each, weights)
        return hard, soft, self._of.value_weight * (hard + self._of.bound_weight * soft)


def _known(values: Any, weights: Any) -> tuple[Any, Any]:
    """The values with 0 where they are NaN, and weights that are 0 there."""
    values = ops.reshape(ops.cast(values, "float32"), (-1,))
    known = ops.logical_not(ops.isnan(values))
    mask = ops.cast(known, "float32")
    weights = mask if weights is None else mask * ops.reshape(ops.cast(weights, "float32"), (-1,))
    return ops.where(known, values, 0.0), weights


def _heads(values: Any, outputs: Any) -> dict[str, Any]:
    """By head; the one head of a student that doesn't name it goes by ""."""
    if isinstance(outputs, dict) != isinstance(values, dict):
        raise ModelError(
            f"The student gives {_described(outputs)}, and what it is compared with is {_described(values)}: "
            "both need the same heads."
        )
    return dict(values) if isinstance(outputs, dict) else {"": values}


def _described(values: Any) -> str:
    return f"a dict of {', '.join(values)}" if isinstance(values, dict) else "one array"


def _weights(sample_weight: Any, outputs: Any) -> dict[str, Any]:
    """Sample weights by head: one array is for all of them."""
    weights = _label(sample_weight)
    if isinstance(weights, dict):
        return weights
    return {} if weights is None else dict.fromkeys(_heads(outputs, outputs), weights)


def _required(labels: dict[str, Any], name: str) -> Any:
    if name not in labels:
        raise ModelError(
            f"The student has a head {name!r} but y has labels for {', '.join(labels)} only: add them."
        )
    return labels[name]


def _label(y: Any) -> Any:
    """The labels' part of y; also of the sample weights, which Keras gives the structure of y when
    it slices arrays.
    """
    # A student may itself have a head "label".
    return y["label"] if isinstance(y, dict) and "label" in y and set(y) <= PARTS else y


def _rows(outputs: Any) -> Any:
    return ops.shape(keras.tree.flatten(outputs)[0])[0]


def _class_weights(student: keras.Model, given: Any) -> dict[str, tuple[float, ...]]:
    """By head, checked against the numbers of classes."""
    if given is None:
        return {}
    outputs = heads.structure(student)
    by_name = {
        name: output for name, output in _heads(outputs, outputs).items() if output.shape[-1] > 1
    }
    by_head = dict(given) if isinstance(given, Mapping) else dict.fromkeys(list(by_name)[:1], given)
    for name, weights in by_head.items():
        classes = by_name[name].shape[-1] if name in by_name else 0
        if len(weights) != classes:
            raise ConfigError(
                f"class_weights must have one value for each of the student's {classes} classes. "
                f"Received: {len(weights)} values."
            )
    return {name: tuple(float(weight) for weight in weights) for name, weights in by_head.items()}


def _with_features(model: keras.Model, names: list[str]) -> keras.Model:
    known = {layer.name for layer in model.layers}
    missing = [name for name in names if name not in known]
    if missing:
        raise ModelError(
            f"{model.name} has no layer {missing[0]!r} to match: see its `summary()` for names."
        )
    return keras.Model(
        model.input, [model.output, [model.get_layer(name).output for name in names]]
    )


def _require_known_outputs(student: keras.Model) -> None:
    try:
        heads.structure(student)
    except (AttributeError, ValueError) as error:
        raise ModelError(
            f"The student {student.name} doesn't say what it gives before it runs: begin it with keras.Input, or wrap "
            "it as keras.Model(image, student(image)), with image = keras.Input(shape)."
        ) from error


def _require_one_of(name: str, value: str, choices: Any) -> None:
    if value not in choices:
        raise ConfigError(
            f"{name} must be one of {', '.join(choices)}. Received: {name}={value!r}."
        )


def _refuse_distribution() -> None:
    if keras.backend.backend() == "tensorflow" and keras.distribution.distribution() is not None:
        raise ConfigError(
            "keras.distribution has no effect on the TensorFlow backend, one device would do all the work: build the "
            "Distiller in the scope of a tf.distribute.MirroredStrategy, or set KERAS_BACKEND=jax."
        )


def _policy(student: keras.Model) -> str:
    """A Functional model has the global policy whatever its layers have, so ask the layers."""
    halves = {layer.dtype_policy.name for layer in all_layers(student)} & {
        "mixed_float16",
        "float16",
    }
    return halves.pop() if halves else student.dtype_policy.name


def _replicas() -> int:
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
