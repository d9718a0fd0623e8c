"""Feature maps of the student that are matched with the teacher's."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
from keras import layers, ops

from keras_kd import losses
from keras_kd.distiller import _settings
from keras_kd.errors import ConfigError, ModelError
from keras_kd.models import heads
from keras_kd.models.surgery.keras_internals import Functional, calls_in_order


@dataclass(frozen=True)
class FeatureMatch:
    """A feature of the student that is trained to match one of the teacher's.

    Attributes:
        student_layer: name of the student's layer whose output is compared, (N, h, w, c) or (N, c).
        teacher_layer: name of the teacher's layer, (N, H, W, C) or (N, C).
        kind: "hint" (a trained 1x1 convolution or dense layer projects to C channels), "attention"
            (where a map's energy lies), "relational" (distances and angles between the images of a
            batch) or "similarity" (cosines between them).
        weight: weight in the loss, 0 or more.

    Raises:
        ConfigError: there is no such kind, or the weight is below 0.
    """

    student_layer: str
    teacher_layer: str
    kind: str = "hint"
    weight: float = 1.0

    def __post_init__(self) -> None:
        _settings.require_one_of("kind", self.kind, losses.feature_loss_names())
        # NumPy's numbers are no JSON values; a frozen object is set this way.
        object.__setattr__(self, "weight", _settings.of_loss("weight", self.weight))

    def get_config(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return asdict(self)


class Matching:
    """Models that return the features to match with their outputs, and the projections.

    Raises:
        ConfigError: one of the matches is not a FeatureMatch.
        ModelError: there is no teacher or no such layer, or the layers' outputs do not fit.
    """

    def __init__(
        self,
        matches: Sequence[FeatureMatch],
        student: keras.Model,
        teacher: keras.Model | None,
        seed: int,
    ) -> None:
        if teacher is None:
            raise ModelError(
                "Feature maps are matched with those of a live teacher: give Distiller a teacher."
            )
        for match in matches:
            if not isinstance(match, FeatureMatch):
                raise ConfigError(
                    f"features must be keras_kd.FeatureMatch objects. Received: {match!r}."
                )
        self.matches = tuple(matches)
        self.student = _with_features(student, [match.student_layer for match in matches])
        self.teacher = _with_features(teacher, [match.teacher_layer for match in matches])
        maps = list(zip(matches, self.student.output[1], self.teacher.output[1], strict=True))
        for match, student_map, teacher_map in maps:
            _require_shapes(match.kind, student_map, teacher_map)
        self.projections = [
            _projection(student_map, teacher_map, seed + number) if match.kind == "hint" else None
            for number, (match, student_map, teacher_map) in enumerate(maps)
        ]

    def loss(self, maps: Any, of_teacher: Any, weights: Any, normalised: bool) -> Any:
        """Return the weighted sum over the matches of their means over the images."""
        total = 0.0
        for match, projection, student, teacher in zip(
            self.matches, self.projections, maps, of_teacher, strict=True
        ):
            student = student if projection is None else projection(ops.cast(student, "float32"))
            each = losses.feature_loss(match.kind)(teacher, student)
            total = total + match.weight * losses.weighted_mean(each, weights, normalised)
        return total


def _projection(student: keras.KerasTensor, teacher: keras.KerasTensor, seed: int) -> layers.Layer:
    channels, initial = teacher.shape[-1], keras.initializers.HeUniform(seed)
    if len(student.shape) == 4:
        projection = layers.Conv2D(channels, 1, kernel_initializer=initial, dtype="float32")
    else:
        projection = layers.Dense(channels, kernel_initializer=initial, dtype="float32")
    # Built now, so that its weights are known before an optimizer asks for them.
    projection.build(student.shape)
    return projection


def _require_shapes(kind: str, student: Any, teacher: Any) -> None:
    ranks = {len(student.shape), len(teacher.shape)}
    if (kind == "attention" and ranks != {4}) or (kind == "hint" and len(ranks) > 1):
        raise ModelError(
            f"Features of shapes {student.shape} (student) and {teacher.shape} (teacher) can't be "
            f"matched by {kind!r}: expected maps (N, H, W, C) of both"
            f"{'' if kind == 'attention' else ', or vectors (N, C) of both'}."
        )


def _with_features(model: keras.Model, names: list[str]) -> keras.Model:
    if not heads.computes_its_graph(model):
        raise ModelError(
            f"The layers of {model.name} have no known outputs: build it with keras.Input, and "
            "without a `call` of its own, to match features."
        )
    # A Sequential model's graph, too, is that of a Functional one: all weights are shared.
    inputs = model.input if isinstance(model, Functional) else model.inputs
    graph = keras.Model(inputs, heads.structure(model))
    outputs = [_output(model, graph, name) for name in names]
    return keras.Model(inputs, [heads.structure(model), outputs])


def _output(model: keras.Model, graph: keras.Model, name: str) -> keras.KerasTensor:
    known = [layer.name for layer in model.layers]
    if name not in known:
        close = difflib.get_close_matches(name, known, 3) or known[:8]
        raise ModelError(
            f"{model.name} has no layer {name!r} to match; it has, among others, "
            f"{', '.join(close)}: see its `summary()` for names."
        )
    # Of the calls in this graph: the layer itself may also know those in other models.
    calls = [call for call in calls_in_order(graph) if call.operation is model.get_layer(name)]
    outputs = [output for call in calls for output in call.output_tensors]
    if len(outputs) != 1:
        many = f"is called {len(calls)} times" if len(calls) != 1 else f"has {len(outputs)} outputs"
        raise ModelError(
            f"The layer {name!r} of {model.name} {many}, and one output is matched: choose a layer "
            "behind the one that you mean, e.g. a keras.layers.Identity(name=...) put there."
        )
    return outputs[0]
