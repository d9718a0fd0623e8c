"""Predictors made of others: classes in another order, several models as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keras_kd._common.arrays import fingerprint
from keras_kd.datasets.class_names import distinct, shortened
from keras_kd.datasets.class_permutation import columns, permutation
from keras_kd.errors import ModelError
from keras_kd.runtimes.prediction import Prediction, Predictor


def reordered(
    predictor: Predictor,
    source: tuple[str, ...] | None,
    target: tuple[str, ...],
    these_alone: bool = False,
) -> Predictor:
    """The same classifier with its logits in another order of classes.

    Args:
        predictor: gives one logit for each of `source`; one without classes is returned as it is.
        source: class names of its outputs; None if they are taken for `target`.
        target: classes in the wanted order, all of them in `source`; "angry" and "anger" are one,
            see `class_permutation.columns`.
        these_alone: leave the logits of all other classes out, so that a softmax is over these
            classes; else they stand behind these, in their order.

    Raises:
        ModelError: a class of `target` is none of `source`.
    """
    if not predictor.tells_classes:
        return predictor
    source = distinct(source or target)
    order, names = columns(source, target), target
    if not these_alone:
        others = np.setdiff1d(np.arange(len(source)), order)
        order, names = np.append(order, others), (*target, *(source[number] for number in others))
    return _Reordered(predictor, order, names, len(source))


class _Reordered:
    def __init__(
        self, predictor: Predictor, order: np.ndarray, names: tuple[str, ...], outputs: int
    ) -> None:
        self._predictor, self._order, self._outputs = predictor, order, outputs
        self.spec = replace(predictor.spec, class_names=names)
        self.fingerprint = fingerprint([predictor.fingerprint, order])
        self.values, self.tells_classes = predictor.values, True

    @property
    def multiply_accumulates(self) -> int | None:
        return self._predictor.multiply_accumulates

    def predict(self, images: np.ndarray) -> Prediction:
        found = self._predictor.predict(images)
        if found.logits.shape[1] != self._outputs:
            raise ModelError(
                f"The model gives {found.logits.shape[1]} outputs for {self._outputs} classes "
                f"({shortened(self.spec.class_names)}): use data or class names that fit."
            )
        return replace(found, logits=found.logits[:, self._order])

    def logits(self, images: np.ndarray) -> np.ndarray:
        return self.predict(images).logits


def in_one_order(members: Sequence[Predictor]) -> list[Predictor]:
    """The same models, each with its classes in the order of the first one's.

    Args:
        members: at least one; all or none of them name their classes.

    Raises:
        ModelError: they have different classes.
    """
    first = members[0].spec.class_names
    return [
        member if member.spec.class_names == first else _in_order(member, first)
        for member in members
    ]


def _in_order(member: Predictor, names: tuple[str, ...] | None) -> Predictor:
    own = member.spec.class_names
    if not member.tells_classes or own is None or names is None:
        return member
    try:
        permutation(own, names)
    except ModelError as error:
        raise ModelError(
            "Models can be averaged only if they have the same classes. Received models of"
            f" {shortened(names)}; {shortened(own)}."
        ) from error
    return reordered(member, own, names)


def averaged(members: Sequence[Predictor], mirror: bool = False) -> Predictor:
    """Several models as one, by the mean of their logits and values.

    A softmax of mean logits is, at any temperature, the normalised geometric mean of the members'
    probabilities.

    Args:
        members: at least one; their classes and values the same. The classes get the order of the
            first one's.
        mirror: also average over each image and its mirror image.

    Raises:
        ModelError: the members have different classes or values.
    """
    first = members[0]
    named = [
        ("classes", *member.values) if member.tells_classes else member.values for member in members
    ]
    if len(set(named)) > 1:
        raise ModelError(
            "Models can be averaged only if all or none of them have classes, and the same values."
            f" Received models of {'; '.join(', '.join(names) for names in named)}."
        )
    ordered = in_one_order(members)
    return _Averaged(ordered, mirror) if mirror or len(members) > 1 else first


def mean(found: Sequence[Prediction]) -> Prediction:
    """Return the mean of the outputs of several models for the same images.

    Args:
        found: the predictions of the models, at least one, with the same classes and values.

    Returns:
        The mean logits and values.
    """
    logits = np.mean([one.logits for one in found], axis=0)
    values = {
        name: np.mean([one.values[name] for one in found], axis=0) for name in found[0].values
    }
    return Prediction(logits, values)


class _Averaged:
    def __init__(self, members: Sequence[Predictor], mirror: bool) -> None:
        self._members, self._mirror = members, mirror
        # Holds for members of one specification; where they differ, `mean` averages outputs
        # instead.
        self.spec = members[0].spec
        self.values, self.tells_classes = members[0].values, members[0].tells_classes
        self.fingerprint = fingerprint(
            [*(member.fingerprint for member in members), "mirror" if mirror else ""]
        )

    @property
    def multiply_accumulates(self) -> int | None:
        counts = [member.multiply_accumulates for member in self._members]
        return None if None in counts else sum(counts) * (2 if self._mirror else 1)

    def predict(self, images: np.ndarray) -> Prediction:
        shown = [images, images[:, :, ::-1]] if self._mirror else [images]
        return mean([member.predict(pixels) for member in self._members for pixels in shown])

    def logits(self, images: np.ndarray) -> np.ndarray:
        return self.predict(images).logits
