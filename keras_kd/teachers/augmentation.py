"""The option `--augment`: which changes of an image are its views, and how images are mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_kd._common.vocabulary import CHANGES, DEGRADE, FACE_MIRROR, MIXTURES
from keras_kd.datasets import class_names
from keras_kd.teachers.views import AtSizes, Images

# mixup's α, as Zhang et al. 2018 (arXiv 1710.09412) train on ImageNet; CutMix draws evenly
# (Yun et al. 2019, arXiv 1905.04899, section 3.1).
MIXUP_ALPHA = 0.2


def words(augment: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the words of `--augment` in a fixed order.

    Args:
        augment: the option's text.
        names: class names; they decide what face-mirror means.

    Returns:
        The words.
    """
    given = [word.strip() for word in augment.split(",")]
    if FACE_MIRROR in given and class_names.are_expressions(names):
        given.append("mirror")
    return tuple(word for word in (*CHANGES, *MIXTURES, DEGRADE) if word in given)


def kind(augment: str, names: Sequence[str]) -> str:
    """Return the `kind` of `Views` for `--augment`.

    Args:
        augment: the option's text.
        names: class names; they decide what face-mirror means.

    Returns:
        The kind, without mixup, cutmix and degrade.
    """
    return ",".join(word for word in words(augment, names) if word in CHANGES) or "none"


def mixtures(augment: str) -> tuple[str, ...]:
    """Return the mixtures that `--augment` names.

    Args:
        augment: the option's text.

    Returns:
        "mixup", "cutmix", both or neither.
    """
    return tuple(word for word in words(augment, ()) if word in MIXTURES)


def degrades(augment: str) -> bool:
    """Return whether `--augment` shows the student degraded images.

    Args:
        augment: the option's text.

    Returns:
        True or False.
    """
    return DEGRADE in words(augment, ())


def undegraded(augment: str) -> str:
    """Return `--augment` without the word that degrades images.

    Args:
        augment: the option's text.

    Returns:
        The same text where the word is not in it.
    """
    given = [word.strip() for word in augment.split(",")]
    if DEGRADE not in given:
        return augment
    return ",".join(word for word in given if word != DEGRADE) or "none"


@dataclass(frozen=True)
class Mixture:
    """How the images of one batch are mixed with the same images in another order.

    Attributes:
        order: int (n,), the image that each is mixed with.
        share: share of the image itself in the pixels, 0..1; the rest is the other image's.
        box: top, bottom, left and right of the part taken from the other image (CutMix), as shares
            of the height and the width, so that it is the same part at each size; None if every
            pixel is mixed (mixup).
    """

    order: np.ndarray
    share: float
    box: tuple[float, float, float, float] | None = None

    def of_images(self, images: Images) -> Images:
        """Mix images, uint8 (n, H, W, C), or those at several sizes."""
        if isinstance(images, AtSizes):
            return AtSizes(tuple(map(self._mixed, images.arrays)))
        return self._mixed(images)

    def _mixed(self, images: np.ndarray) -> np.ndarray:
        if self.box is None:
            mixed = self.share * images + (1 - self.share) * images[self.order].astype(np.float32)
            return np.round(mixed).astype(np.uint8)
        height, width = images.shape[1:3]
        top, bottom = (round(share * height) for share in self.box[:2])
        left, right = (round(share * width) for share in self.box[2:])
        mixed = images.copy()
        mixed[:, top:bottom, left:right] = images[self.order, top:bottom, left:right]
        return mixed

    def of_labels(self, labels: np.ndarray) -> np.ndarray:
        """Mix shares of classes (n, C) or values (n,)."""
        mixed = self.share * labels + (1 - self.share) * labels[self.order]
        return mixed.astype(np.float32)


def drawn(
    kinds: Sequence[str], count: int, size: tuple[int, int], random: np.random.Generator
) -> Mixture:
    """Draw a mixture for a batch.

    Args:
        kinds: "mixup", "cutmix" or both, of which one is drawn.
        count: number of images.
        size: height and width in pixels.
        random: the source of randomness.

    Returns:
        The mixture.
    """
    chosen, order = kinds[int(random.integers(len(kinds)))], random.permutation(count)
    height, width = size
    if chosen == "mixup":
        return Mixture(order, float(random.beta(MIXUP_ALPHA, MIXUP_ALPHA)))
    # The cut's area is then drawn evenly, as in the paper.
    side = np.sqrt(1 - random.random())
    y, x = random.integers(height), random.integers(width)
    down, across = round(side * height / 2), round(side * width / 2)
    top, bottom = max(0, y - down), min(height, y + down)
    left, right = max(0, x - across), min(width, x + across)
    # The box may reach over the edge: what counts is its part inside.
    share = 1 - (bottom - top) * (right - left) / (height * width)
    box = top / height, bottom / height, left / width, right / width
    return Mixture(order, float(share), box)
