"""Checks of the images, labels, weights and stored outputs that a Distiller is trained on."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np

from keras_kd._common.arrays import evenly
from keras_kd._common.tensors import on_host
from keras_kd._common.user_warnings import warn
from keras_kd.distiller import (
    _backend,
    _batches,
    _inputs,
    _label_agreement,
    _labels,
    _pixels,
    _same_answers,
)
from keras_kd.distiller._heads import ClassHead, ValueHead
from keras_kd.distiller._outputs import (
    PROBED_ROWS,
    as_logits,
    kind_of,
    require_fit,
    require_kind,
    warn_of_kind,
)
from keras_kd.distiller._shapes import HeadShape
from keras_kd.distiller._student_model import StudentModel
from keras_kd.distiller._targets import TargetMaker
from keras_kd.distiller._teacher import PROBED_IMAGES, Teachers
from keras_kd.errors import DataError
from keras_kd.models.output_kinds import TWICE, are_softmax_twice, stated_kind


class CheckedData(StudentModel):
    """A student with its heads, which know what they can learn from.

    Attributes:
        faults: of the batches that a step sees.
    """

    _columns: dict[str, int | None]
    _heads: dict[str, ClassHead | ValueHead]
    faults: _labels.Faults
    _checked_before: dict[str, bool]
    _shapes: dict[str, HeadShape]
    _live: Teachers | None
    teachers: list[keras.Model]
    _target_maker: TargetMaker

    @property
    def _learns_from_teacher(self) -> bool:
        return any(head.learns_from_teacher for head in self._heads.values())

    def _check_data(self, x: Any, y: Any, sample_weight: Any = None) -> bool:
        """Check images, labels and weights, as far as they are arrays: a batch or a whole set.

        Returns:
            Whether all of them were checked.
        """
        _backend.require_scope(self)
        _batches.require_labels(x, _batches.label(y))
        images = self._check_arrays(x, y, sample_weight)
        labels = self._check_labels(y)
        return self._check_sample_weights(sample_weight) and labels and images

    def _check_arrays(self, x: Any, y: Any = None, sample_weight: Any = None) -> bool:
        """Check shape and numbers of the images, and how many labels, outputs and weights there
        are.

        Returns:
            Whether the numbers of all images were checked.
        """
        _inputs.require_shape(x, self.student)
        _batches.require_arrays(x, y, sample_weight)
        return _pixels.require_finite(x, self.student)

    def _look_at_teacher(self, x: Any, y: Any, with_labels: bool = False) -> bool:
        """Find out what the teacher gives, from stored outputs or on some of the images.

        Args:
            x: the images.
            y: the labels, and stored outputs if any.
            with_labels: whether to compare live teachers' classes with these.

        Returns:
            Whether all stored outputs of classes were checked.
        """
        stored = _batches.teacher(y)
        checked = self._find_stored_kinds(stored)
        if stored is None and self._live is not None and self._learns_from_teacher:
            # A data set that can be indexed would be read whole if it were taken for an array.
            images = keras.tree.map_structure(_some_rows, x) if _batches.are_data(x) else None
            counted = with_labels and images is not None and self.alpha
            if self._live.look(images, self._some_labels(y) if counted else {}):
                # A traced step holds the kinds that it was traced with.
                self.train_function = None
        return checked

    def _some_labels(self, y: Any) -> dict[str, np.ndarray]:
        """Labels of the same rows as `_some_rows`, by head, where they are known."""
        given = _batches.by_head(_batches.label(y), self._heads)
        some = {name: _some_rows(given[name]) for name in self._shapes if name in given}
        return {
            name: self._shapes[name].labels(known)
            for name, known in some.items()
            if known is not None
        }

    def _check_labels(self, y: Any) -> bool:
        labels = _batches.label(y)
        if not _batches.are_data(labels):
            return False
        checked = True
        for name, values in _batches.by_head(labels, self._heads).items():
            known = on_host(values)
            if known is not None and name in self._heads:
                self._heads[name].require(self._shapes[name].labels(known), len(known))
            checked = checked and known is not None
        return checked

    def _check_sample_weights(self, sample_weight: Any = None) -> bool:
        given = _batches.label(sample_weight)
        by_head = given if isinstance(given, dict) else {"": given}
        # Not `all` of a generator, which would end at the first that is not known.
        checked = [_labels.require_weights(values, name) for name, values in by_head.items()]
        return all(checked)

    def _rows(
        self, x: Any, targets: _batches.Targets, outputs: Any, sample_weight: Any
    ) -> dict[str, tuple[Any, Any, Any, Any]]:
        """Labels, teacher's outputs, student's and weights by head, each as rows; the labels are
        checked now where they are known, and with images and weights in the graph where not.
        """
        self._check_labels(targets)
        labels = _batches.by_head(targets.label, self._heads)
        weights, images = _batches.weights(sample_weight, self._heads), _batches.rows(outputs)
        found = {}
        for name, output in _batches.by_head(outputs, self._heads).items():
            shape, rows = self._shapes[name], self._shapes[name].outputs(output)
            label = shape.labels(_batches.required(labels, name), rows)
            teacher = shape.matched(targets.teacher.get(name), rows)
            of_rows = shape.weights(weights.get(name), rows, images)
            found[name] = (label, teacher, rows, of_rows)
        if not self._checked_before["train_function" if self._reports_parts else "test_function"]:
            checked = {name: rows[0] for name, rows in found.items()}
            given = [rows[3] for rows in found.values() if rows[3] is not None]
            bad_images = _pixels.not_finite(x, self.student)
            self.faults.update_state(bad_images, checked, given, images)
        return found

    def _stored_of_classes(self, stored: Any) -> dict[str, np.ndarray | None]:
        """A teacher's stored outputs by head of classes; None where they are not known now."""
        given = _batches.by_head(stored, self._heads) if _batches.are_data(stored) else {}
        return {name: on_host(one) for name, one in given.items() if self._columns.get(name)}

    def _find_stored_kinds(self, stored: Any) -> bool:
        found, given = {}, self._stored_of_classes(stored)
        for name, known in given.items():
            if known is not None:
                columns = self._shapes[name].columns_of_teacher(known)
                kind = stated_kind(self.teacher_output, columns) or kind_of(
                    known[:PROBED_ROWS], columns
                )
                require_kind(kind, name, columns)
                require_fit(kind, known, name, columns)
                found[name] = kind
        # Also for a data set, which an earlier fit on arrays says nothing about.
        if found != self._target_maker.stored_kinds:
            # A traced step holds the kinds that it was traced with.
            self._target_maker.stored_kinds, self.train_function = found, None
            for kind in set(found.values()):
                warn_of_kind(kind, _same_answers.STORED)
        return set(found) == set(given)

    def _warn_of_first(self, x: Any, y: Any = None, *others: Any) -> None:
        """Warn, by the first batch of a data set, of what is looked at in arrays before a fit."""
        self._warn_of_ranges(x)
        asked = self._live is not None and self._learns_from_teacher and self.alpha
        if asked and y is not None and _batches.teacher(y) is None:
            with contextlib.suppress(DataError):  # The step tells of bad labels, and of their row.
                self._check_labels(y)
                images = keras.tree.map_structure(_some_rows, x)
                self._live.warn_of_labels(images, self._some_labels(y))

    def _warn_of_ranges(self, x: Any) -> None:
        _pixels.warn_of_range(x, self.student, "student")
        for teacher in self.teachers if self._learns_from_teacher else ():
            _pixels.warn_of_range(x, teacher, "teacher")

    def _warn_of_stored(self, y: Any) -> None:
        labels = _batches.by_head(_batches.label(y), self._heads)
        for name, known in self._stored_of_classes(_batches.teacher(y)).items():
            kind, shape = self._target_maker.stored_kinds[name], self._shapes[name]

            def logits(rows: np.ndarray, kind=kind, shape=shape) -> np.ndarray:
                given = shape.logits(as_logits(kind, shape.teacher(rows)))
                return np.asarray(keras.ops.convert_to_numpy(given))

            _same_answers.warn_of_stored(known, logits, name)
            # Of maps, thousands of images may be more than memory holds.
            count = _label_agreement.compared(len(known), len(shape.teacher(known[:1])))
            some = evenly(known, count)
            if kind == "probabilities" and are_softmax_twice(some):
                warn(f"{_same_answers.STORED} {TWICE}.")
            # Labels that don't count may be any.
            if self.alpha and (own := on_host(labels.get(name))) is not None:
                of_some = shape.labels(evenly(own, count))
                _label_agreement.warn_of_chance(
                    of_some, logits(some), name, shape.rows, _same_answers.STORED,
                    "check that its outputs are in the order of the images and of the classes",
                )  # fmt: skip


def _some_rows(values: Any) -> np.ndarray | None:
    known = on_host(values) if hasattr(values, "shape") else None
    return None if known is None else evenly(known, PROBED_IMAGES)
