"""Knowledge distillation as a Keras model that trains its student."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_kd import losses
from keras_kd.distiller import (
    _backend,
    _batches,
    _inputs,
    _labels,
    _metrics,
    _models,
    _saving,
    _settings,
)
from keras_kd.distiller._checked_training import CheckedTraining
from keras_kd.distiller._features import FeatureMatch, Matching
from keras_kd.distiller._heads import ClassHead, ValueHead
from keras_kd.distiller._momentum import DistillationOrientedSGD
from keras_kd.distiller._outputs import OutputFaults
from keras_kd.distiller._same_answers import SameAnswers
from keras_kd.distiller._shapes import HeadShape, weights_of_images
from keras_kd.distiller._targets import TargetMaker
from keras_kd.distiller._teacher import Teacher, Teachers
from keras_kd.distiller._tensorflow_steps import step, step_of_two_gradients
from keras_kd.models import heads, output_kinds
from keras_kd.models.surgery.keras_internals import metrics_of_outputs

__all__ = ["DistillationOrientedSGD", "Distiller", "FeatureMatch"]


@keras.saving.register_keras_serializable("keras_kd")
class Distiller(CheckedTraining):
    """Trains `student` on α·CE(labels) + β·T²·KL(teacher ‖ student), equation (6) of arXiv
    2501.18538.

    As in that paper, α is the weight of the hard labels. The student is trained in place. `save`,
    `save_weights` and `load_weights`, and thereby `keras.callbacks.ModelCheckpoint`, save and load
    the student. A file of weights also has what `keras.callbacks.BackupAndRestore` continues from.
    `get_config` has the settings and the student's architecture, without the teacher. So has
    `keras.saving.save_model(distiller)`, with the student's weights: what is loaded has to be
    compiled, and has no teacher; `Distiller(loaded.student, teacher)` goes on with one.

    A student with one output has one head; a student whose output is a dict has a head under each
    name. A head of C columns gives logits of C classes. A head of one column is binary if it is
    named in `binary` or is the only output: its one logit tells two classes apart. Its losses are
    the binary cross-entropy and T²·KL of the two Bernoulli distributions, and Keras' metrics see
    its sigmoid. Any other head of one column is a continuous value y with the loss
    w·(mean (s - y)² + ν·teacher-bounded error), see `losses.teacher_bounded_each`. Rows whose y
    is NaN are left out of its means. The loss is the sum over the heads.

    Batches are `x, y` or `x, y, sample_weight`. Either y is the labels, and the live `teacher` is
    run once on each batch; or y is `{"label": labels, "teacher": logits}`, and no teacher is run.
    Labels and logits are arrays, or dicts by head. Labels of classes are integers (N,) or (N, 1),
    or shares (N, C). Dimensions of one pixel or one view, as in (N, 1, 1, C), are left out; of maps
    (N, H, W, C), each pixel is learnt, from labels (N, H, W). Any other shape is refused. A head
    that the teacher lacks learns from the labels alone. `sample_weight`, (N,), or of maps also
    (N, H, W), applies to all terms, `class_weights` to the labels' term alone. Regularisers of the
    student are added. `evaluate` computes the plain cross-entropy with the labels (and the squared
    error of values) and changes no variable. Metrics see the labels alone.

    A teacher's probabilities (a softmax at its end, or stored rows in 0..1 that sum to 1) are
    replaced by their logarithms, with a warning. A logit of -inf counts as a probability of 1e-12.
    If the teacher expects another image size, it gets the batch resized, with a warning. The
    teacher is called with training=False, so that augmentation inside it is off. It is not changed,
    nor is its `trainable`.

    `temperature`, `alpha`, `beta`, `value_weight`, `bound_weight` and `margin` may be set at any
    time, also by a callback during `fit`: the next step obeys, and is traced anew. All other
    settings are fixed.

    Args:
        student: keras.Model that maps images to logits (N, C), or to a dict of logits and values
            (N, 1) by name.
        teacher: keras.Model with the same inputs and outputs. None if batches bring the teacher's
            logits or there is no teacher. A sequence of models teaches the weighted mean of their
            logits; features are matched with the first.
        temperature: T, above 0.
        alpha: α in 0..1, weight of the labels.
        beta: β, 0 or more, weight of the teacher; None for 1 - α.
        class_weights: one weight for each class in the labels' term, (C,) or Keras' dict {class:
            weight}; a dict of these by head; or None. `fit(class_weight=...)` does the same for one
            fit.
        soft_loss: loss on the teacher's logits: one of `losses.soft_loss_names()`, with its
            settings in parentheses, e.g. "decoupled(other_weight=4)"; or a function of labels,
            teacher's logits, student's logits and T that returns (N,).
        value_loss: "mse", or "shake-shake" for EmoNet's mixture with two correlations, see
            `losses.shake_shake`.
        value_weight: w, 0 or more.
        bound_weight: ν, 0 or more; Chen et al. 2017 use 0.5.
        margin: m of the teacher-bounded error, 0 or more.
        features: feature maps to match, which needs a live teacher. Their projections are trained
            with the student.
        seed: seed of shake-shake's draws and of the projections.
        binary: names of the heads of one column that tell two classes apart. None means the only
            output, if it has one column. [] means none, so that it is a continuous value.
        weights_normalised: whether weighted means are divided by the sum of the weights, as in
            PyTorch's `CrossEntropyLoss(weight=...)`, instead of by the number of images, as in
            Keras and the paper's "batch mean".
        teacher_head: name of the teacher's output to learn from, if the teacher has several outputs
            and the student one.
        teacher_weights: a number, 0 or more, for each of several teachers; None for equal weights.
        teacher_output: "logits", "probabilities" or "sigmoids": what the outputs of classes are, of
            live teachers and of stored ones, where a probability of one column has both names;
            None to find it out from a teacher's graph, or from its values for images in arrays.

    Raises:
        ConfigError: a value has another type or is out of its range; `keras.distribution` is set on
            TensorFlow, where it has no effect; or the student was built in another scope of
            `tf.distribute`.
        ModelError: the student's outputs are unknown or no logits, teacher and student do not fit
            together, or a layer to match is missing.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model | Sequence[keras.Model] | None = None,
        temperature: float = losses.TEMPERATURE,
        alpha: float = losses.ALPHA,
        beta: float | None = None,
        class_weights: Any = None,
        soft_loss: str | Callable[[Any, Any, Any, float], Any] = "kl",
        value_loss: str = "mse",
        value_weight: float = 1.0,
        bound_weight: float = 0.5,
        margin: float = 0.0,
        features: FeatureMatch | Sequence[FeatureMatch] = (),
        seed: int = 0,
        binary: Collection[str] | None = None,
        weights_normalised: bool = False,
        teacher_head: str | None = None,
        teacher_weights: Sequence[float] | None = None,
        teacher_output: output_kinds.OutputKind | None = None,
    ) -> None:
        _backend.refuse_distribution()
        _models.require_model("student", student)
        _models.warn_of_own_training(student)
        # compile() scales the loss for float16 by the policy of the model that it is called on.
        # autocast=False: student and teachers cast the images, each to its own precision.
        super().__init__(name="distiller", dtype=_backend.policy(student), autocast=False)
        self.student, self.binary = student, _settings.names(binary)
        self._columns = _models.columns_of_heads(student, self.binary)
        _backend.require_scope(self)
        self.teachers = _models.teachers(student, teacher)
        _models.warn_of_order(student, self.teachers)
        self.teacher = self.teachers[0] if self.teachers else None
        self.teacher_head, self.teacher_output = teacher_head, _settings.output_kind(teacher_output)
        self.temperature, self.alpha, self.beta = temperature, alpha, beta
        self.value_weight, self.bound_weight, self.margin = value_weight, bound_weight, margin
        self.soft_loss_name, self._soft_loss = soft_loss, _settings.soft_loss(soft_loss)
        self.value_loss_name = _settings.value_loss(value_loss)
        self.weights_normalised, self.seed = bool(weights_normalised), _settings.whole_seed(seed)
        self.draws = keras.random.SeedGenerator(seed) if value_loss == "shake-shake" else None
        self.class_weights = _settings.class_weights(self._columns, class_weights)
        self._make_heads(self.class_weights)
        self._shapes = self._shapes_of_heads()
        settings = (self._shapes, teacher_head, self.teacher_output)
        live = [Teacher(one, student, *settings) for one in self.teachers]
        self._live = Teachers.of(live, teacher_weights)
        self.teacher_weights = None if teacher_weights is None else [*map(float, teacher_weights)]
        self._match((features,) if isinstance(features, FeatureMatch) else tuple(features))
        self._make_trackers()
        self._reports_parts = True  # of the loss, which `evaluate` lacks
        self._begin_unchecked()
        self._target_maker = TargetMaker(
            student, self._shapes, self._live, self._matching, self.teacher_output,
            self.output_faults, self.same_answers,
        )  # fmt: skip
        # Student and projections are built: Keras has nothing left to build.
        self.built = True

    def _match(self, features: tuple[FeatureMatch, ...]) -> None:
        """Match feature maps with those of the first teacher."""
        self.features = features
        between = (features, self.student, self.teacher, self.seed)
        self._matching = Matching(*between) if features else None
        self.projections = self._matching.projections if self._matching else []

    def _make_trackers(self) -> None:
        """Make what follows an epoch: the means of the loss's parts, and the faults of batches."""
        self.hard_loss = keras.metrics.Mean("hard_loss")
        self.soft_loss = keras.metrics.Mean("soft_loss")
        self.feature_loss = keras.metrics.Mean("feature_loss")
        values = [name for name, head in self._heads.items() if not head.classes]
        classes = {name: head.classes for name, head in self._heads.items() if head.classes}
        columns = {name: count for name, count in self._columns.items() if count}
        self.faults = _labels.Faults(classes, columns, values if self.binary is None else [])
        self.output_faults = OutputFaults(columns, max(len(self.teachers), 1))
        self.same_answers = SameAnswers(classes, [one.name for one in self.teachers])

    def _shapes_of_heads(self) -> dict[str, HeadShape]:
        outputs = _batches.by_head(self._single(heads.structure(self.student)), self._heads)
        return {
            name: HeadShape(name, output.shape, self._heads[name].classes)
            for name, output in outputs.items()
        }

    @property
    def beta(self) -> float:
        """β, the weight of the teacher's loss: as given, or 1 - alpha."""
        return 1 - self.alpha if self._beta is None else self._beta

    @beta.setter
    def beta(self, beta: float | None) -> None:
        """Set β; None for 1 - alpha."""
        self._beta = beta

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute: numbers in the loss from the next step on, also in a callback."""
        made = getattr(self, "built", False)
        if made:
            _settings.refuse_change(name)
        is_of_loss = name in _settings.OF_LOSS
        if is_of_loss and not (name == "beta" and value is None):
            value = _settings.of_loss(name, value)
        super().__setattr__(name, value)
        if made and is_of_loss:
            self._make_heads({each: head.class_weights for each, head in self._heads.items()})

    def _make_heads(self, class_weights: Mapping[str, Any]) -> None:
        self._heads = {name: self._head(name, count) for name, count in self._columns.items()}
        self._set_class_weights(class_weights)
        self._trace_anew()

    def _head(self, name: str, columns: int | None) -> ClassHead | ValueHead:
        if columns is not None:
            weights = (self.alpha, self.beta, self.temperature)
            return ClassHead(name, columns, *weights, self._soft_loss, self.weights_normalised)
        weights = (self.value_weight, self.bound_weight, self.margin)
        declared = self.binary is not None
        return ValueHead(
            name, self.value_loss_name, *weights, self.draws, declared, self.weights_normalised
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the student's output; in training with features to match, also the list of
        maps.

        Raises:
            DataError: the images are of another shape than the student takes.
        """
        _inputs.require_shape(inputs, self.student)
        taken = _inputs.as_taken(inputs, self.student)
        if training and self._matching:
            outputs, maps = self._matching.student(taken, training=training)
            return self._single(outputs), maps
        return self._single(self.student(taken, training=training))

    @staticmethod
    def _single(outputs: Any) -> Any:
        """The outputs, or the only one of a list."""
        return outputs[0] if isinstance(outputs, (list, tuple)) else outputs

    if keras.backend.backend() == "tensorflow":

        def train_step(self, data: Any) -> dict[str, Any]:
            """Run one training step on TensorFlow; the teacher's forward pass is not recorded for
            gradients.
            """
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
            y = self._targets(x, y)
            self._reports_parts = True
            if isinstance(self.optimizer, DistillationOrientedSGD):
                outputs, loss = step_of_two_gradients(
                    self, x, lambda outputs: self._loss_parts(x, y, outputs, sample_weight)
                )
            else:
                outputs, loss = step(self, x, y, sample_weight)
            # fit() counts every image alike, also in a last, smaller batch.
            count = _batches.rows(outputs)
            self._loss_tracker.update_state(loss * _backend.replicas(), sample_weight=count)
            return self.compute_metrics(x, y, outputs, sample_weight)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the scalar to minimise, divided by the number of replicas as in Keras' own
        losses.

        Raises:
            ConfigError: a metric does not fit the labels' form, or takes logits for probabilities.
        """
        self._reports_parts = training
        if not training:
            return self._plain_loss(x, y, y_pred, sample_weight) / _backend.replicas()
        of_labels, of_teacher = self._loss_parts(x, y, y_pred, sample_weight)
        return of_labels + of_teacher

    def _loss_parts(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any]:
        """The labels' and the teacher's part of the loss."""
        outputs, maps = y_pred if self._matching else (y_pred, [])
        targets = self._targets(x, y)
        self._check_metrics(targets.label, outputs)
        rows = self._rows(x, targets, outputs, sample_weight)
        of_heads = [self._heads[name](*of_head) for name, of_head in rows.items()]
        hard, soft, of_labels, of_teacher = map(sum, zip(*of_heads, strict=True))
        count = _batches.rows(outputs)
        self.hard_loss.update_state(hard, sample_weight=count)
        self.soft_loss.update_state(soft, sample_weight=count)
        if self._matching:
            # Maps belong to no head: the first head's weights stand for the images'.
            given = next(iter(_batches.weights(sample_weight, self._heads).values()), None)
            weights = weights_of_images(given, count)
            matched = self._matching.loss(maps, targets.features, weights, self.weights_normalised)
            self.feature_loss.update_state(matched, sample_weight=count)
            of_teacher = of_teacher + matched
        for penalty in self.student.losses:
            # As Keras does: a layer may add one number for each image.
            of_labels = of_labels + ops.sum(ops.cast(penalty, "float32"))
        replicas = _backend.replicas()
        return of_labels / replicas, ops.convert_to_tensor(of_teacher) / replicas

    def _plain_loss(self, x: Any, y: Any, outputs: Any, sample_weight: Any) -> Any:
        targets = _batches.Targets(_batches.label(y))
        self._check_metrics(targets.label, outputs)
        total = 0.0
        for name, rows in self._rows(x, targets, outputs, sample_weight).items():
            label, _, output, weights = rows
            total = total + self._heads[name].plain(label, output, weights)
        return total

    def _targets(self, x: Any, y: Any) -> _batches.Targets:
        checked = self._checked_before["train_function"]
        return self._target_maker.of(x, y, self._learns_from_teacher, checked)

    def _check_metrics(self, labels: Any, outputs: Any) -> None:
        """Refuse metrics that do not fit, before the step: in eager mode nothing is traced."""
        labels, given = _metrics.shown(labels, outputs, self._shapes, self._heads)
        whole = [part if isinstance(outputs, dict) else part[""] for part in (labels, given)]
        of_heads = dict(zip(sorted(given), metrics_of_outputs(self, *whole), strict=False))
        _metrics.require_computable(of_heads, labels, self._columns)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Return Keras' metrics on the labels alone; for a binary head they see the sigmoid of its
        logit.
        """
        outputs = y_pred[0] if self._matching and isinstance(y_pred, (tuple, list)) else y_pred
        weights = dict(_batches.weights(sample_weight, self._heads))
        for name, output in _batches.by_head(outputs, self._heads).items():
            if name in weights:
                shape, rows = self._shapes[name], self._shapes[name].outputs(output)
                weights[name] = shape.weights(weights[name], rows, _batches.rows(outputs))
        labels, given = _metrics.shown(_batches.label(y), outputs, self._shapes, self._heads)
        # As in Keras, fit's class_weight counts in training.
        of_classes = self._class_weights_of_fit if self._reports_parts else {}
        weights = _metrics.weights(labels, weights, of_classes, self._heads)
        shown = [part if isinstance(outputs, dict) else part[""] for part in (labels, given)]
        weights = (weights or None) if isinstance(outputs, dict) else weights.get("")
        return super().compute_metrics(x, *shown, weights)

    def get_metrics_result(self) -> dict[str, Any]:
        """Return Keras' metrics, and in training the parts of the loss.

        Raises:
            DataError: an image in the batches since the epoch began holds NaN or infinity, a label
                is not one of its head's classes, a sample weight is not finite or below 0, or a
                teacher's output is not of its kind.
        """
        results = super().get_metrics_result()
        results.pop(self.same_answers.name, None)
        for faults in (self.faults, self.output_faults):
            results.pop(faults.name, None)
            faults.refuse()
        # `evaluate` has no such parts: their means would be those of the training before.
        shown = {
            "hard_loss": self._reports_parts,
            "soft_loss": self._reports_parts and self._learns_from_teacher,
            "feature_loss": self._reports_parts and bool(self._matching),
        }
        return {name: result for name, result in results.items() if shown.get(name, True)}

    def get_config(self) -> dict[str, Any]:
        """Return all settings and the student's architecture as JSON values, without the
        teacher.
        """
        return _saving.config(self)

    def __dir__(self) -> list[str]:
        """Return the attributes that Keras saves: the teacher's weights belong in no file."""
        hidden = ("teacher", "teachers", "layers")
        return [name for name in super().__dir__() if name not in hidden]

    @classmethod
    def from_config(cls, config: dict[str, Any], teacher: Any = None) -> Distiller:
        """Build a Distiller with a new student; features are matched only if a teacher is given."""
        return cls(**_saving.arguments(config, teacher))
