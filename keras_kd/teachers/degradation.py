"""Images as bad cameras and channels leave them: encoded hard, small, blurred or dark.

The student sees such images in training while its teacher answers to the good ones, as the class
stays the same. So stored soft labels serve.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

# Of the images of a batch. Half of them, on FER2013, gain no more on blurred and small images and
# cost 0.8 points more on good ones (docs/results/robustness.md).
SHARE = 0.25
# Each from the mildest to the worst.
QUALITIES = (60, 10)  # of JPEG
SIDES = (0.9, 0.35)  # share of the sides that is left, before the image is enlarged again
RADII = (0.01, 0.04)  # of a Gaussian, as a share of the shorter side
BRIGHTNESSES = (0.9, 0.3)


def degraded(images: np.ndarray, random: np.random.Generator, before: int = 0) -> np.ndarray:
    """Degrade about a quarter of some images in one way each.

    Args:
        images: uint8 (n, H, W, C); C is 1 (gray) or 3 (RGB). They are not changed.
        random: the source of randomness; each image takes three numbers.
        before: the number of images of the same batch that are degraded elsewhere, by whose numbers
            it is put forward.

    Returns:
        uint8 (n, H, W, C).
    """
    done = images.copy()
    drawn = random.random((before + len(images), 3))[before:]
    for row, (chance, which, strength) in enumerate(drawn.tolist()):
        if chance < SHARE:
            way = WAYS[int(which * len(WAYS))]
            picture = Image.fromarray(
                images[row].squeeze(-1) if images.shape[-1] == 1 else images[row]
            )
            done[row] = np.asarray(way(picture, strength)).reshape(images.shape[1:])
    return done


def encoded(picture: Image.Image, strength: float) -> Image.Image:
    """Encode a picture as JPEG.

    Args:
        picture: gray or RGB.
        strength: 0..1, the way from the mildest to the worst.

    Returns:
        The picture as it is decoded.
    """
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=round(_between(QUALITIES, strength)))
    return Image.open(file)


def shrunk(picture: Image.Image, strength: float) -> Image.Image:
    """Shrink a picture and enlarge it again. Arguments: see `teachers.degradation.encoded`."""
    side = _between(SIDES, strength)
    small = [max(1, round(side * length)) for length in picture.size]
    smaller = picture.resize((small[0], small[1]), Image.Resampling.BILINEAR)
    return smaller.resize(picture.size, Image.Resampling.BILINEAR)


def blurred(picture: Image.Image, strength: float) -> Image.Image:
    """Blur a picture. Arguments: see `teachers.degradation.encoded`."""
    return picture.filter(ImageFilter.GaussianBlur(_between(RADII, strength) * min(picture.size)))


def darkened(picture: Image.Image, strength: float) -> Image.Image:
    """Scale a picture's brightness down. Arguments: see `teachers.degradation.encoded`."""
    factor = _between(BRIGHTNESSES, strength)
    return picture.point([round(factor * level) for level in range(256)] * len(picture.getbands()))


WAYS = (encoded, shrunk, blurred, darkened)


def _between(ends: tuple[float, float], strength: float) -> float:
    return ends[0] + strength * (ends[1] - ends[0])
