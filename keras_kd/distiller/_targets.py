"""What a batch is compared with: its labels, and outputs of the teacher that it brings or that live
teachers give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras

from keras_kd.distiller import _batches, _inputs
from keras_kd.distiller._features import Matching
from keras_kd.distiller._outputs import OutputFaults, Outputs, require_kind, require_scaled
from keras_kd.distiller._same_answers import SameAnswers
from keras_kd.distiller._shapes import HeadShape
from keras_kd.distiller._teacher import Teachers
from keras_kd.errors import ModelError
from keras_kd.models.output_kinds import OutputKind, stated_kind


class TargetMaker:
    """Makes the targets of batches.

    Args:
        student: the model that learns.
        shapes: how the outputs of each head become rows.
        live: the teachers that are run on batches, or None.
        matching: the features to match, or None.
        stated: what outputs of classes are; None to find it out.
        faults: records outputs that are not of their kind.
        same_answers: records whether the teachers' answers differ.

    Attributes:
        stored_kinds: by head, what stored outputs were found to be.
    """

    def __init__(
        self,
        student: keras.Model,
        shapes: Mapping[str, HeadShape],
        live: Teachers | None,
        matching: Matching | None,
        stated: OutputKind | None,
        faults: OutputFaults,
        same_answers: SameAnswers,
    ) -> None:
        self._student, self._shapes = student, shapes
        self._live, self._matching = live, matching
        self._stated, self._faults, self._same_answers = stated, faults, same_answers
        self.stored_kinds: dict[str, OutputKind] = {}

    def of(self, x: Any, y: Any, learns_from_teacher: bool, checked: bool) -> _batches.Targets:
        """Return the targets of one batch.

        Args:
            x: images.
            y: labels, or labels and stored outputs of the teacher; or targets, which are returned.
            learns_from_teacher: whether any head's loss has a part of the teacher.
            checked: whether the stored outputs were checked before.

        Raises:
            DataError: there are no labels, or the images are of another shape than the student
                takes.
            ModelError: there is no teacher to learn from.
        """
        # The step on TensorFlow made them, outside of its tape.
        if isinstance(y, _batches.Targets):
            return y
        stored, label = _batches.teacher(y), _batches.label(y)
        _batches.require_given(label, x, self._student)
        _inputs.require_shape(x, self._student)
        if self._matching:
            outputs, features = self._live.with_features(self._matching.teacher, x)
            logits = self._logits(x, outputs, stored, learns_from_teacher, checked)
            return _batches.Targets(label, logits, features)
        if stored is None and not learns_from_teacher:
            return _batches.Targets(label)
        if stored is None and self._live is None:
            raise ModelError(
                "No teacher to learn from: give Distiller a teacher, or batches whose y is "
                '{"label": labels, "teacher": logits}, or set beta=0 (and bound_weight=0 where '
                "there are values)."
            )
        outputs = self._live(x) if stored is None else []
        logits = self._logits(x, outputs, stored, learns_from_teacher, checked)
        return _batches.Targets(label, logits)

    def _logits(
        self,
        x: Any,
        outputs: list[Outputs],
        stored: Any,
        learns_from_teacher: bool,
        checked: bool,
    ) -> dict[str, Any]:
        """The teacher's logits and values by head: the stored ones, or of live teachers' outputs
        the mean.
        """
        if stored is not None:
            outputs = [self._stored(stored)]
        # As rows already: the mean of several would spread one over another.
        outputs = [self._as_rows(one) for one in outputs]
        unchecked = learns_from_teacher and not (stored is not None and checked)
        if unchecked:
            self._faults.update_state(outputs)
        logits = [
            {
                name: self._shapes[name].logits(values) if name in self._shapes else values
                for name, values in one.logits().items()
            }
            for one in outputs
        ]
        if unchecked:
            self._same_answers.update_state(logits, _batches.rows(x), stored is not None)
        return self._live.mean(logits) if stored is None else logits[0]

    def _stored(self, stored: Any) -> Outputs:
        given = _batches.by_head(stored, self._shapes)
        if not set(given) & set(self._shapes):
            raise ModelError(
                f"The teacher's stored outputs are of {', '.join(map(str, given)) or 'no head'}, "
                f"and the student's heads are {', '.join(self._shapes)}: name them alike."
            )
        columns = {
            name: self._shapes[name].columns_of_teacher(values)
            for name, values in given.items()
            if name in self._shapes and self._shapes[name].classes
        }
        kinds: dict[str, OutputKind] = {
            name: self.stored_kinds.get(name) or stated_kind(self._stated, count) or "unknown"
            for name, count in columns.items()
        }
        for name, kind in kinds.items():
            require_kind(kind, name, columns[name])
            # Of probabilities that sum to 1, as one-hot labels do, no scale is missing.
            if self._stated is None and kind != "probabilities":
                require_scaled(given[name], name)
        return Outputs(given, kinds)

    def _as_rows(self, outputs: Outputs) -> Outputs:
        values = {
            name: self._shapes[name].teacher(values)
            for name, values in outputs.values.items()
            if name in self._shapes
        }
        return replace(outputs, values=values)
