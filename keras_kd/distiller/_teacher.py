"""A live teacher as the student needs it: images of its size, the chosen output, logits."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd.distiller import _batches
from keras_kd.errors import ModelError
from keras_kd.models import heads
from keras_kd.models.heads import OutputKind

SMALLEST_PROBABILITY = 1e-12  # whose logarithm is taken for that of anything smaller
LOOKED_AT = 32  # images that tell what a teacher without a graph gives


def as_logits(kind: OutputKind, outputs: Any) -> Any:
    """Return logits for outputs of a known kind: log p, or log(p / (1 - p)) for a sigmoid."""
    if kind not in ("probabilities", "sigmoids"):
        return outputs
    log = ops.log(ops.maximum(ops.cast(outputs, "float32"), SMALLEST_PROBABILITY))
    if kind == "probabilities":
        return log
    return log - ops.log(ops.maximum(1 - ops.cast(outputs, "float32"), SMALLEST_PROBABILITY))


def require_kind(kind: OutputKind, name: str, columns: int) -> None:
    """Refuse independent sigmoids for classes of which each image has one."""
    if kind == "sigmoids" and columns > 1:
        raise ModelError(
            f"The teacher's output{f' {name!r}' if name else ''} is {columns} independent sigmoids "
            "(several classes an "
            "image), from which no logits of one class an image follow: give a teacher whose last "
            "layer has no "
            "activation, or a student with one head of one column for each class."
        )


def warn_of_kind(kind: OutputKind, whose: str) -> None:
    """Say once that probabilities were found and what is done with them."""
    if kind in ("probabilities", "sigmoids"):
        form = "probabilities p" if kind == "probabilities" else "sigmoids p"
        taken = "log p is" if kind == "probabilities" else "log(p / (1 - p)) is"
        warnings.warn(
            f"{whose} gives {form}, not logits: {taken} learnt from.", UserWarning, stacklevel=5
        )


class Teacher:
    """Calls the teacher's model and gives what the student's heads are compared with.

    Args:
        model: the teacher.
        student_heads: the student's columns by head, None for a continuous value.
        shape: of the student's images, (H, W, C) or any other.
        head: name of the teacher's output for a student of one output; None for its only one.

    Raises:
        ModelError: no such output, another number of outputs than the student, sizes that can't be
            made equal, or independent sigmoids.
    """

    def __init__(
        self,
        model: keras.Model,
        student_heads: dict[str, int | None],
        shape: tuple[int | None, ...],
        head: str | None,
    ) -> None:
        self.model, self.head = model, head
        self.shape = _input_shape(model)
        self._heads = student_heads
        if self.shape is not None:
            _require_shape(model, self.shape, shape)
        self.kinds: dict[str, OutputKind] = {}
        if heads.has_graph(model):
            found = self._by_head(self.chosen(heads.structure(model)))
            self._accept({name: heads.output_kind(model, name or head) for name in found})
        elif not model.built:
            raise ModelError(
                f"The teacher {model.name} has no weights yet: call it on a batch, or load its "
                "weights."
            )

    def _by_head(self, outputs: Any) -> dict[str, Any]:
        """The chosen outputs of those of the student's heads that tell classes."""
        found = _batches.by_head(outputs, self._heads)
        if not set(found) & set(self._heads):
            raise ModelError(
                f"The teacher {self.model.name} has none of the student's heads ({', '.join(self._heads)}), "
                f"only {', '.join(found)}: name its outputs alike."
            )
        return {name: output for name, output in found.items() if self._heads.get(name)}

    def _accept(self, kinds: dict[str, OutputKind]) -> None:
        for name, kind in kinds.items():
            require_kind(kind, name, self._heads[name])
        for kind in set(kinds.values()):
            warn_of_kind(kind, f"The teacher {self.model.name}")
        self.kinds |= kinds

    def look(self, images: np.ndarray) -> None:
        """Find out from some images what a teacher whose graph doesn't tell gives."""
        if self.model.built and set(self.kinds.values()) <= {"unknown"}:
            outputs = self._by_head(
                self.chosen(self.model(self.shown(images[:LOOKED_AT]), training=False))
            )
            self._accept(
                {
                    name: heads.kind_of_values(ops.convert_to_numpy(found))
                    for name, found in outputs.items()
                }
            )

    def __call__(self, images: Any) -> Any:
        """Return the teacher's logits and values for a batch, in the structure of the student's
        outputs.
        """
        return self.logits(self.chosen(self.model(self.shown(images), training=False)))

    def with_features(self, model: keras.Model, images: Any) -> tuple[Any, Any]:
        """Return the same and the maps that `model`, the teacher with more outputs, gives."""
        outputs, maps = model(self.shown(images), training=False)
        stopped = keras.tree.map_structure(ops.stop_gradient, maps)
        return self.logits(self.chosen(outputs)), stopped

    def shown(self, images: Any) -> Any:
        """Return images of the size and channels that the teacher takes."""
        return images if self.shape is None else _resized(images, self.shape)

    def chosen(self, outputs: Any) -> Any:
        """Return what the student is compared with of all that the teacher gives."""
        if "" not in self._heads:
            return (
                heads.by_name(self.model, outputs)
                if isinstance(outputs, (list, tuple))
                else outputs
            )
        several = outputs if isinstance(outputs, dict) else None
        if isinstance(outputs, (list, tuple)) and len(outputs) > 1:
            several = heads.by_name(self.model, outputs)
        if self.head is None and isinstance(outputs, (list, tuple)):
            if several is not None:
                raise ModelError(
                    f"The teacher {self.model.name} gives several outputs ({', '.join(several)}) "
                    "and the student one: "
                    "choose one with teacher_head=NAME."
                )
            return outputs[0]
        if self.head is None:
            return outputs
        if several is None or self.head not in several:
            known = ", ".join(several or ["one, without a name"])
            raise ModelError(
                f"The teacher {self.model.name} has no output {self.head!r}; it has {known}."
            )
        return several[self.head]

    def logits(self, outputs: Any) -> Any:
        """Return the chosen outputs with logarithms in place of probabilities."""
        outputs = keras.tree.map_structure(ops.stop_gradient, outputs)
        found = _batches.by_head(outputs, self._heads)
        logits = {
            name: as_logits(self.kinds.get(name, "unknown"), output)
            for name, output in found.items()
        }
        return logits if isinstance(outputs, dict) else logits[""]


def _input_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    """(H, W, C) of a model with one input; None where it doesn't tell, or has several."""
    inputs = getattr(model, "inputs", None)
    return tuple(inputs[0].shape[1:]) if inputs and len(inputs) == 1 else None


def _require_shape(
    model: keras.Model, expected: tuple[int | None, ...], given: tuple[int | None, ...]
) -> None:
    if _fits(expected, given):
        return
    images = (
        len(expected) == len(given) == 3 and keras.config.image_data_format() == "channels_last"
    )
    if not images or {expected[2], given[2]} - {1, 3, None} and expected[2] != given[2]:
        raise ModelError(
            f"The teacher {model.name} takes inputs of shape {expected} and the student of "
            f"{given}: both see the same "
            "batch, so build one of them for the other's shape."
        )
    warnings.warn(
        f"The teacher {model.name} takes {_size(expected)} and the student {_size(given)}: batches "
        "are resized for the "
        "teacher, which a picture cut at its own size from the original pixels would serve better.",
        UserWarning,
        stacklevel=4,
    )


def _fits(expected: tuple[int | None, ...], given: tuple[int | None, ...]) -> bool:
    alike = [
        left == right or None in (left, right) for left, right in zip(expected, given, strict=False)
    ]
    return len(expected) == len(given) and all(alike)


def _size(shape: tuple[int | None, ...]) -> str:
    return "x".join("any" if size is None else str(size) for size in shape)


def _resized(images: Any, shape: tuple[int | None, ...]) -> Any:
    if _fits(shape, tuple(images.shape[1:])):
        return images
    images = ops.cast(images, "float32")
    channels = images.shape[-1]
    if shape[2] == 1 and channels == 3:
        images = ops.image.rgb_to_grayscale(images, data_format="channels_last")
    elif shape[2] == 3 and channels == 1:
        images = ops.repeat(images, 3, axis=-1)
    size = tuple(
        ours if ours is not None else theirs
        for ours, theirs in zip(shape[:2], images.shape[1:3], strict=True)
    )
    if size == tuple(images.shape[1:3]):
        return images
    return ops.image.resize(
        images, size, interpolation="bilinear", antialias=True, data_format="channels_last"
    )
