"""Keras' entries to training with the checks of what they are given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_kd.distiller import (
    _backend,
    _batches,
    _metrics,
    _models,
    _momentum,
    _same_answers,
    _settings,
    _streams,
)
from keras_kd.distiller._checked_data import CheckedData
from keras_kd.distiller._first_batch import FirstBatch
from keras_kd.errors import ConfigError


class CheckedTraining(CheckedData):
    """`compile`, `fit` and the steps on one batch, which refuse what would train something else
    than meant.

    Attributes:
        class_weights: by head, of the labels' term.
    """

    class_weights: dict[str, tuple[float, ...]]
    _class_weights_of_fit: dict[str, tuple[float, ...]]
    _traced_class_weights: dict[str, tuple[float, ...]]
    same_answers: _same_answers.SameAnswers
    features: Sequence[Any]
    value_weight: float
    _traced_without_checks: dict[str, bool]

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: None = None,
        loss_weights: None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        **others: Any,
    ) -> None:
        """Configure training, as `keras.Model.compile` does.

        Raises:
            ConfigError: `loss` or `loss_weights` is given: the Distiller's loss is its own; all its
                weights are 0 and no features are matched, so that nothing would be learnt; there
                are `others`, as in keras.io's example; a loss stands among the metrics; metrics of
                several heads are not by head; or the student was built in another scope of
                `tf.distribute`.
            ModelError: the student has no weights to train, or shares some with the teacher.
        """
        _backend.require_scope(self)
        _metrics.refuse_losses(loss, loss_weights, others)
        if not any(head.learns for head in self._heads.values()) and not self.features:
            raise ConfigError(
                "Nothing would be learnt: the weights of labels and teacher are all 0. Set alpha, "
                "beta or value_weight above 0. Received: "
                f"alpha={self.alpha:g}, beta={self.beta:g}, value_weight={self.value_weight:g}."
            )
        measured = [_metrics.by_head(one, self._columns) for one in (metrics, weighted_metrics)]
        for given in measured:
            _metrics.require_no_losses(given, self._columns)
        plain, weighted = [_metrics.of_known_values(given, self._columns) for given in measured]
        _models.require_trainable(self.student, self.teachers)
        super().compile(
            optimizer,
            metrics=plain,
            weighted_metrics=weighted,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
        # Only now: compiling may have wrapped it for float16.
        _momentum.require_usable(self.optimizer)
        _models.require_one_precision(self.optimizer, self.student)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> keras.callbacks.History:
        """Train, as `keras.Model.fit` does, on checked images, labels, weights and stored outputs.

        Arrays are checked whole before the first step, and no more in the steps. Of data sets and
        generators the first batch is checked after its step, and all of an epoch at its end.
        `class_weight` weighs the labels' term alone, as `class_weights`, and the training images in
        `weighted_metrics`, as in Keras.

        Raises:
            DataError: images without labels, an image with NaN or infinity, a label that no head
                can learn, a sample weight that is not finite, below 0 or of no head, or a teacher's
                probabilities where logits are expected.
            ConfigError: the student was built in another scope of `tf.distribute`.
        """
        checked = self._check_data(x, y, sample_weight)
        checked = self._look_at_teacher(x, y, with_labels=True) and checked
        self._warn_of_ranges(x)
        sample_weight = _batches.weights_like(y, sample_weight)
        if isinstance(validation_data, (tuple, list)) and len(validation_data) > 1:
            images, labels, *others = validation_data
            self._check_data(images, labels, *others[:1])
            weights = [_batches.weights_like(labels, one) for one in others]
            validation_data = (images, labels, *weights)
        batches = _streams.Checks(self._check_arrays, self._warn_of_first)
        x, validation_data = batches.of_first(x), batches.of_python(validation_data)
        callbacks = self._with_own_callbacks(callbacks)
        with (
            batches.refusing(),
            self._weighing(class_weight),
            self._leaving_out_checks("train_function", checked),
        ):
            if self._checked_before["train_function"] and self._learns_from_teacher:
                self._warn_of_stored(y)
            # Keras gets no class_weight: it would weigh the teacher's term as well.
            return super().fit(
                x, y, batch_size, epochs, verbose, callbacks, validation_split, validation_data,
                shuffle, None, sample_weight, initial_epoch, steps_per_epoch, validation_steps,
                validation_batch_size, validation_freq,
            )  # fmt: skip

    def _with_own_callbacks(self, callbacks: Any) -> Any:
        own = [FirstBatch(self._live), _same_answers.AnswersCallback()]
        if isinstance(callbacks, keras.callbacks.CallbackList):
            # Keras adds no history to such a list, and `fit` returns one.
            return keras.callbacks.CallbackList([*own, callbacks], add_history=True, model=self)
        return [*own, *keras.tree.flatten(callbacks if callbacks is not None else [])]

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Score, as `keras.Model.evaluate` does, with the checks of `fit`."""
        checked = self._check_data(x, y, sample_weight)
        sample_weight = _batches.weights_like(y, sample_weight)
        batches = _streams.Checks(self._check_arrays)
        with batches.refusing(), self._leaving_out_checks("test_function", checked):
            return super().evaluate(
                batches.of_python(x), y, batch_size, verbose, sample_weight, steps, callbacks,
                return_dict, **kwargs,
            )  # fmt: skip

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the student's outputs, as `keras.Model.predict` does, for checked images."""
        self._check_arrays(x)
        batches = _streams.Checks(lambda images, *others: self._check_arrays(images))
        with batches.refusing():
            return super().predict(batches.of_images(x), *args, **kwargs)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Take one step, as `keras.Model.train_on_batch` does, with the checks of `fit`."""
        checked = self._check_data(x, y, sample_weight)
        checked = self._look_at_teacher(x, y) and checked
        with self._weighing(class_weight), self._leaving_out_checks("train_function", checked):
            return super().train_on_batch(x, y, sample_weight, None, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Score one batch, as `keras.Model.test_on_batch` does, with the checks of `fit`."""
        checked = self._check_data(x, y, sample_weight)
        with self._leaving_out_checks("test_function", checked):
            return super().test_on_batch(x, y, sample_weight, return_dict)

    def _begin_unchecked(self) -> None:
        """Begin with nothing checked and nothing traced."""
        self._class_weights_of_fit = {}
        self._traced_class_weights = dict(self.class_weights)
        self._checked_before = {"train_function": False, "test_function": False}
        self._traced_without_checks = dict(self._checked_before)

    @contextlib.contextmanager
    def _weighing(self, class_weight: Any) -> Iterator[None]:
        if class_weight is not None and self.class_weights:
            raise ConfigError(
                "class_weight is given beside the Distiller's class_weights: give one of the two."
            )
        self._class_weights_of_fit = _settings.class_weights(self._columns, class_weight)
        self._weigh_classes(self._class_weights_of_fit or self.class_weights)
        try:
            yield
        finally:
            self._class_weights_of_fit = {}
            self._set_class_weights(self.class_weights)

    @contextlib.contextmanager
    def _leaving_out_checks(self, function: str, checked: bool) -> Iterator[None]:
        """Let the steps of a traced function check no images, labels, weights and stored outputs if
        all of them were checked before. A function that was traced with the checks keeps them.
        """
        without = self._traced_without_checks[function]
        checked = checked and (without or getattr(self, function) is None)
        if without and not checked:
            setattr(self, function, None)
        self._checked_before[function] = self._traced_without_checks[function] = checked
        try:
            yield
        finally:
            # A loop of the user's own brings data that nobody has checked.
            self._checked_before[function] = False

    def _weigh_classes(self, class_weights: Mapping[str, tuple[float, ...]]) -> None:
        """Let the next steps weigh classes so."""
        self._set_class_weights(class_weights)
        if class_weights != self._traced_class_weights:
            self._trace_anew()
        self._traced_class_weights = dict(class_weights)

    def _trace_anew(self) -> None:
        # A traced step holds what it was traced with, and a running fit needs another at once.
        if self.train_function is not None:
            self.make_train_function(force=True)

    def _set_class_weights(self, class_weights: Mapping[str, tuple[float, ...]]) -> None:
        for name, head in self._heads.items():
            head.class_weights = class_weights.get(name)
