"""A live teacher as the student needs it: images of its size, the chosen output, logits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd.distiller import _batches, _images
from keras_kd.distiller._outputs import Outputs, kind_of, require_kind, warn_of_kind
from keras_kd.distiller._settings import require_not_negative
from keras_kd.errors import ConfigError, ModelError
from keras_kd.models import heads
from keras_kd.models.heads import OutputKind

PROBED_IMAGES = 32  # images that show the kind of outputs of a teacher without a graph


class Teacher:
    """Calls the teacher's model and gives what the student's heads are compared with.

    Args:
        model: the teacher.
        student_heads: the student's columns by head, None for a continuous value.
        shape: of the student's images, (H, W, C) or any other.
        head: name of the teacher's output for a student of one output; None for its only one.
        stated: what its outputs of classes are; None to find it out.

    Raises:
        ModelError: no such output, another number of outputs than the student, sizes that can't be
            made equal, independent sigmoids, or a statement that the graph contradicts.
    """

    def __init__(
        self,
        model: keras.Model,
        student_heads: dict[str, int | None],
        shape: tuple[int | None, ...],
        head: str | None,
        stated: OutputKind | None = None,
    ) -> None:
        self.model, self.head, self._stated = model, head, stated
        self.shape = _images.input_shape(model)
        self._heads = student_heads
        if self.shape is not None:
            _images.require_shape(model, self.shape, shape)
        self.kinds: dict[str, OutputKind] = {}
        if heads.has_graph(model):
            found = self._by_head(self.chosen(heads.structure(model)))
            kinds = {name: heads.output_kind(model, name or head) for name in found}
            self._accept({name: self._settled(name, kind) for name, kind in kinds.items()})
        # Weights that are drawn at the first call would teach noise.
        elif not model.built:
            raise ModelError(
                f"The teacher {model.name} has no weights yet: call it on a batch, or load its "
                "weights."
            )

    def _stated_of(self, name: str) -> OutputKind | None:
        return heads.stated_kind(self._stated, self._heads[name])

    def _settled(self, name: str, found: OutputKind) -> OutputKind:
        """Return the statement, or else what was found."""
        stated = self._stated_of(name)
        if stated not in (None, found) and found in ("probabilities", "sigmoids", "logits"):
            raise ModelError(
                f"The teacher {self.model.name} is stated to give {self._stated} and its graph "
                f"gives "
                f"{found}: remove teacher_output={self._stated!r}, or end the teacher accordingly."
            )
        return stated or found

    def _by_head(self, outputs: Any) -> dict[str, Any]:
        """The chosen outputs for the student's heads of classes."""
        found = _batches.by_head(outputs, self._heads)
        if not set(found) & set(self._heads):
            raise ModelError(
                f"The teacher {self.model.name} has none of the student's heads"
                f" ({', '.join(self._heads)}), only {', '.join(found)}: name its outputs alike."
            )
        return {name: output for name, output in found.items() if self._heads.get(name)}

    def _accept(self, kinds: dict[str, OutputKind]) -> None:
        for name, kind in kinds.items():
            require_kind(kind, name, self._heads[name])
        for kind in set(kinds.values()):
            warn_of_kind(kind, f"The teacher {self.model.name}")
        self.kinds |= kinds

    def find_kinds(self, images: Any) -> None:
        """Find out from some images of what kind the outputs of a teacher without a graph are."""
        if self.model.built and set(self.kinds.values()) <= {"unknown"}:
            outputs = self._by_head(self.chosen(self.model(self.shown(images), training=False)))
            self._accept(
                {
                    name: self._stated_of(name)
                    or kind_of(ops.convert_to_numpy(found), self._heads[name])
                    for name, found in outputs.items()
                }
            )

    def __call__(self, images: Any) -> Outputs:
        """Return the teacher's outputs for a batch, by the student's heads."""
        return self._outputs(self.model(self.shown(images), training=False))

    def with_features(self, model: keras.Model, images: Any) -> tuple[Outputs, Any]:
        """Return the same and the maps that `model`, the teacher with more outputs, gives."""
        outputs, maps = model(self.shown(images), training=False)
        return self._outputs(outputs), keras.tree.map_structure(ops.stop_gradient, maps)

    def shown(self, images: Any) -> Any:
        """Return images of the size and channels that the teacher takes."""
        if self.shape is None:
            return images
        resized = _images.resized(_batches.only(images), self.shape)
        return _batches.as_taken(resized, self.model)

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
                    "and the student one: choose one with teacher_head=NAME."
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

    def _outputs(self, outputs: Any) -> Outputs:
        found = _batches.by_head(self.chosen(outputs), self._heads)
        kinds = {
            name: self.kinds.get(name) or self._stated_of(name) or "unknown"
            for name in found
            if self._heads.get(name)
        }
        for name, kind in kinds.items():
            require_kind(kind, name, self._heads[name])
        # The student's loss must not train the teacher.
        return Outputs({name: ops.stop_gradient(one) for name, one in found.items()}, kinds)


class Teachers:
    """Several teachers as one, by the weighed mean of their logits and values.

    The softmax of mean logits is, at any temperature, the normalised geometric mean of the members'
    softened distributions (Hinton et al. 2015, section 1, name it beside the arithmetic one).

    Args:
        members: at least one.
        weights: one number a member, 0 or more; None for equal ones.

    Raises:
        ConfigError: the weights are not one for each member, or all 0.
    """

    def __init__(self, members: Sequence[Teacher], weights: Sequence[float] | None) -> None:
        self.members = list(members)
        self.weights = [1.0] * len(self.members) if weights is None else list(weights)
        for weight in self.weights:
            require_not_negative(teacher_weight=weight)
        if len(self.weights) != len(self.members) or not sum(self.weights) > 0:
            raise ConfigError(
                f"teacher_weights must be one number for each of the {len(self.members)} teachers, "
                f"of which one is above 0. Received: teacher_weights={self.weights}."
            )

    def find_kinds(self, images: Any) -> bool:
        """Find out from some images of what kind the outputs of teachers without a graph are.

        Returns:
            Whether any kind is another than before.
        """
        before = [dict(member.kinds) for member in self.members]
        for member in self.members:
            member.find_kinds(images)
        return [member.kinds for member in self.members] != before

    def __call__(self, images: Any) -> list[Outputs]:
        """Return each teacher's outputs by the student's heads."""
        return [member(images) for member in self.members]

    def with_features(self, model: keras.Model, images: Any) -> tuple[list[Outputs], Any]:
        """Return the same, and the maps that `model`, the first teacher with more outputs,
        gives.
        """
        first, maps = self.members[0].with_features(model, images)
        return [first, *(member(images) for member in self.members[1:])], maps

    def mean(self, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the mean of each teacher's logits and values by head, over the teachers with that
        head.
        """
        if len(found) == 1:
            return found[0]
        means = {}
        for name in {name: None for outputs in found for name in outputs}:
            pairs = zip(self.weights, found, strict=True)
            given = [(weight, outputs[name]) for weight, outputs in pairs if name in outputs]
            # Of the teachers that have this head; the others don't count.
            total = sum(weight for weight, _ in given)
            parts = [weight / total * ops.cast(values, "float32") for weight, values in given]
            means[name] = functools.reduce(ops.add, parts)
        return means
