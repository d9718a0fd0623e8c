"""A live teacher as the student needs it: images of its size, the chosen output, logits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._common.text import reason_of_call
from keras_kd._common.user_warnings import warn
from keras_kd.distiller import _batches, _images, _inputs, _label_agreement
from keras_kd.distiller._outputs import Outputs, kind_of, require_kind, warn_of_kind
from keras_kd.distiller._same_answers import FEWEST
from keras_kd.distiller._settings import require_not_negative
from keras_kd.distiller._shapes import HeadShape
from keras_kd.errors import ConfigError, ModelError
from keras_kd.models import heads, output_kinds
from keras_kd.models.inference import COMPUTE_APART, DEPENDS, depends_on_batch, unchanged
from keras_kd.models.output_kinds import OutputKind

PROBED_IMAGES = 64  # images that show what a teacher gives before it is trained by


class Teacher:
    """Calls the teacher's model and gives what the student's heads are compared with.

    Args:
        model: the teacher.
        student: the model that learns.
        shapes: of the student's heads, by their names.
        head: name of the teacher's output for a student of one output; None for its only one.
        stated: what its outputs of classes are; None to find it out.

    Raises:
        ModelError: no such output, another number of outputs than the student, sizes that can't be
            made equal, independent sigmoids, or a statement that the graph contradicts.
    """

    def __init__(
        self,
        model: keras.Model,
        student: keras.Model,
        shapes: Mapping[str, HeadShape],
        head: str | None,
        stated: OutputKind | None = None,
    ) -> None:
        self.model, self.head, self._stated = model, head, stated
        self._student, self._shapes = student, shapes
        self._told_of_size = False  # that images are resized
        self._knows_batch = False  # whether outputs depend on the other images of a batch
        self._knows_labels = False  # whether it gives the labels' classes more often than chance
        self._was_asked = False  # by a step, as it is not where batches bring outputs
        _images.require_inputs(model, student)
        self.shape = _images.input_shape(model)
        if self.shape is not None:
            _images.require_shape(model, self.shape, _images.input_shape(student))
        self.kinds: dict[str, OutputKind] = {}
        if heads.has_graph(model):
            found = self._by_head(self.chosen(heads.structure(model)))
            kinds = {name: heads.output_kind(model, name or head) for name in found}
            settled = {name: self._settled(name, found[name], kinds[name]) for name in found}
            self._accept(found, settled)
            for name, kind in settled.items():
                if kind == "probabilities" and heads.takes_softmax_twice(model, name or head):
                    warn(f"The teacher {model.name} {output_kinds.TWICE}.")
        # Weights that are drawn at the first call would teach noise.
        elif not model.built:
            raise ModelError(
                f"The teacher {model.name} has no weights yet: call it on a batch, or load its "
                "weights."
            )

    def _stated_of(self, name: str, output: Any) -> OutputKind | None:
        return output_kinds.stated_kind(self._stated, self._shapes[name].columns_of_teacher(output))

    def _settled(self, name: str, output: Any, found: OutputKind) -> OutputKind:
        """Return the statement, or else what was found."""
        stated = self._stated_of(name, output)
        if stated not in (None, found) and found in ("probabilities", "sigmoids", "logits"):
            raise ModelError(
                f"The teacher {self.model.name} is stated to give {self._stated} and its graph "
                f"gives "
                f"{found}: remove teacher_output={self._stated!r}, or end the teacher accordingly."
            )
        return stated or found

    def _by_head(self, outputs: Any) -> dict[str, Any]:
        """The chosen outputs for the student's heads of classes."""
        found = _batches.by_head(outputs, self._shapes)
        if not set(found) & set(self._shapes):
            raise ModelError(
                f"The teacher {self.model.name} has none of the student's heads"
                f" ({', '.join(self._shapes)}), only {', '.join(found)}: name its outputs alike."
            )
        return {name: output for name, output in found.items() if self._learns_classes(name)}

    def _learns_classes(self, name: str) -> bool:
        return name in self._shapes and self._shapes[name].classes is not None

    def _accept(self, outputs: Mapping[str, Any], kinds: dict[str, OutputKind]) -> None:
        self._require_kinds(outputs, kinds)
        for kind in set(kinds.values()):
            warn_of_kind(kind, f"The teacher {self.model.name}")
        self.kinds |= kinds

    def _require_kinds(self, outputs: Mapping[str, Any], kinds: Mapping[str, OutputKind]) -> None:
        for name, kind in kinds.items():
            require_kind(kind, name, self._shapes[name].columns_of_teacher(outputs[name]))

    def look(self, images: Any, labels: Mapping[str, np.ndarray]) -> None:
        """Ask the teacher, at most once, for some images, as far as they are known: of what kind
        are its outputs, if it has no graph? Warn once if they depend on the batch, or are of the
        labels' classes no more often than chance has it.

        Args:
            images: arrays; None to look at nothing but noise, and only if a batch asked it before.
            labels: of them, by the student's heads: class numbers (R,), or shares (R, C).
        """
        if not self._can_show(images):
            self.warn_of_batch(images)
        elif self.model.built:
            given = functools.cache(lambda: self._run(self.model, images))
            self._find_kinds(given)
            self.warn_of_batch(images, given)
            self._warn_of_labels(given, labels)

    def _find_kinds(self, given: Callable[[], Any]) -> None:
        if set(self.kinds.values()) <= {"unknown"}:
            outputs = self._by_head(self.chosen(given()))
            self._accept(
                outputs,
                {
                    name: self._stated_of(name, found)
                    or kind_of(
                        ops.convert_to_numpy(found), self._shapes[name].columns_of_teacher(found)
                    )
                    for name, found in outputs.items()
                },
            )

    def _can_show(self, images: Any) -> bool:
        """Whether what the teacher takes of some images is known."""
        return all(
            isinstance(one, np.ndarray) and one.dtype.kind != "O"
            for one in keras.tree.flatten(_inputs.named(images, self.model, self._student))
        )

    def warn_of_batch(self, images: Any, given: Callable[[], Any] | None = None) -> None:
        """Warn once, by two images or more, as far as they are known, of outputs that depend on the
        others of a batch; None, as after a data set's first batch, is for noise, unless no batch
        has asked the teacher.

        Args:
            images: see above.
            given: gives the teacher's outputs for them.
        """
        known = self._was_asked if images is None else self._can_show(images)
        if self._knows_batch or not known:
            return
        shown = self._noise() if images is None else self.shown(images)
        if shown is None or len(keras.tree.flatten(shown)[0]) < 2:
            return
        self._knows_batch = True
        if depends_on_batch(self.model, shown, given):
            warn(
                f"The teacher {self.model.name} {DEPENDS}, so the student learns what changes with"
                f" the batches: {COMPUTE_APART}."
            )

    def warn_of_labels(self, images: Any, labels: Mapping[str, np.ndarray]) -> None:
        """Warn as `look` of classes, but don't change what its outputs are taken for."""
        if self._can_show(images) and self.model.built:
            self._warn_of_labels(lambda: self._run(self.model, images), labels)

    def _warn_of_labels(self, given: Callable[[], Any], labels: Mapping[str, np.ndarray]) -> None:
        if self._knows_labels or not any(len(one) >= FEWEST for one in labels.values()):
            return
        self._knows_labels = True
        for name, logits in self._outputs(given()).logits().items():
            if name in labels and self._learns_classes(name):
                shape = self._shapes[name]
                rows = ops.convert_to_numpy(shape.logits(shape.teacher(logits)))
                _label_agreement.warn_of_chance(
                    labels[name], rows, name, shape.rows,
                    f"The teacher {self.model.name}",
                    "check the order of its classes, and that it takes such pixels",
                )  # fmt: skip

    def _noise(self) -> Any:
        """Images of the teacher's size, or of the student's where it takes any; None where they
        have several inputs.
        """
        noise = _images.of_noise(self.model)
        noise = _images.of_noise(self._student) if noise is None else noise
        known = noise is not None and self.shape is not None
        return _inputs.as_taken(noise, self.model) if known else noise

    def __call__(self, images: Any) -> Outputs:
        """Return the teacher's outputs for a batch, by the student's heads."""
        return self._outputs(self._run(self.model, images))

    def _run(self, model: keras.Model, images: Any) -> Any:
        """Return what the teacher, or a model of its layers, gives for a batch.

        Raises:
            ModelError: it can't compute the batch.
        """
        shown, self._was_asked = self.shown(images), True
        try:
            return unchanged(model, shown)
        except Exception as error:  # A model of one's own may raise anything.
            # TensorFlow may not know the rank.
            batch = ", ".join(
                f"{keras.backend.standardize_dtype(one.dtype)} {one.shape}"
                for one in keras.tree.flatten(shown)
            )
            raise ModelError(
                f"The teacher {self.model.name} can't compute a batch of {batch}:"
                f" {reason_of_call(error)}. It gets what the student gets, so give both what the"
                " teacher takes (float32 images where it begins with no Input or Rescaling)."
            ) from error

    def with_features(self, model: keras.Model, images: Any) -> tuple[Outputs, Any]:
        """Return the same and the maps that `model`, the teacher with more outputs, gives."""
        outputs, maps = self._run(model, images)
        return self._outputs(outputs), keras.tree.map_structure(ops.stop_gradient, maps)

    def shown(self, images: Any) -> Any:
        """Return what the teacher takes of a batch, by the names of its own inputs or else of the
        student's, in its size and channels.
        """
        own = _inputs.named(images, self.model, self._student)
        if self.shape is None:
            return own if _inputs.input_names(self.model) else _inputs.only(own)
        shown = _inputs.only(own)
        is_students = shown is _inputs.only(images, self._student)
        of_student = _images.input_shape(self._student) if is_students else None
        resized = _images.resized(shown, self.shape, of_student)
        if resized is not shown and not self._told_of_size:
            self._told_of_size = True
            _images.warn_of_resizing(self.model, self.shape, tuple(shown.shape[1:]))
        return _inputs.as_taken(resized, self.model)

    def chosen(self, outputs: Any) -> Any:
        """Return what the student is compared with of all that the teacher gives."""
        if outputs is None:
            raise ModelError(f"The teacher {self.model.name} gives None: let its call return it.")
        if "" not in self._shapes:
            return self._named(outputs) if isinstance(outputs, (list, tuple)) else outputs
        several = outputs if isinstance(outputs, dict) else None
        if isinstance(outputs, (list, tuple)) and len(outputs) > 1:
            several = self._named(outputs)
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

    def _named(self, outputs: Sequence[Any]) -> dict[str, Any]:
        """Several outputs by their names.

        Raises:
            ModelError: neither a graph nor the outputs tell their names.
        """
        if hasattr(outputs, "_asdict"):
            return outputs._asdict()
        if not heads.has_graph(self.model):
            raise ModelError(
                f"The teacher {self.model.name} gives {len(outputs)} outputs without names: let its"
                " call return a dict of them, and choose one with teacher_head=NAME if the student"
                " has one output."
            )
        return heads.by_name(self.model, outputs)

    def _outputs(self, outputs: Any) -> Outputs:
        found = _batches.by_head(self.chosen(outputs), self._shapes)
        kinds: dict[str, OutputKind] = {
            name: self.kinds.get(name) or self._stated_of(name, output) or "unknown"
            for name, output in found.items()
            if self._learns_classes(name)
        }
        self._require_kinds(found, kinds)
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

    @classmethod
    def of(cls, members: Sequence[Teacher], weights: Sequence[float] | None) -> Teachers | None:
        """Return the members as one teacher; None if there are neither members nor weights.

        Raises:
            ConfigError: as the class, also for weights without members.
        """
        weighted = weights is not None and len(weights) > 0
        return cls(members, weights) if members or weighted else None

    def look(self, images: Any, labels: Mapping[str, np.ndarray]) -> bool:
        """Look at what each teacher gives for some images, see `Teacher.look`.

        Returns:
            Whether the kind of any output is another than before.
        """
        before = [dict(member.kinds) for member in self.members]
        for member in self.members:
            member.look(images, labels)
        return [member.kinds for member in self.members] != before

    def warn_of_labels(self, images: Any, labels: Mapping[str, np.ndarray]) -> None:
        """Warn of each teacher whose classes are not those of the labels."""
        for member in self.members:
            member.warn_of_labels(images, labels)

    def warn_of_batch(self) -> None:
        """Warn, by noise, of each teacher that was asked and whose outputs depend on the other
        images of a batch.
        """
        for member in self.members:
            member.warn_of_batch(None)

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
