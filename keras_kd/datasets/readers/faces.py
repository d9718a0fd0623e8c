"""Drawn faces with seven expressions, valence and arousal: the embedded default, without any
download.

An expression is a mix of facial action units after the prototypes of P. Ekman and W. V. Friesen,
Facial Action Coding System, 1978, table 11-1. `keras_kd.datasets._faces.cartoon` draws them on ever
new people.

Valence and arousal are read off the same action units, for any mix of them:

    (valence, arousal) = clip(units @ W, -1, 1),   W = pinv(P) @ Q

P (6, 18) are the prototypes, 1 where an action unit takes part, and Q (6, 2) the places of their
emotions on the circumplex, roughly as in J. A. Russell, "A circumplex model of affect", 1980
(disgust, not in it, between anger and misery). So a prototype shown with intensity m lies at m
times its place, a face at rest at the origin, and every further action unit moves the point:
lowered brows to the left, wide eyes up.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_kd.datasets import SIZE, Samples, images
from keras_kd.datasets._faces import cartoon, drawing, traits
from keras_kd.datasets.images import Size

CLASS_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
IMAGES = {"train": 2800, "validation": 700, "test": 700}
SEEDS = {"train": 1, "validation": 2, "test": 3}

# Action units of each expression, then those that some people add with the given chance.
PROTOTYPES = {
    "angry": (4, 5, 7, 24),
    "disgust": (4, 10, 17),
    "fear": (1, 2, 4, 5, 20, 25),
    "happy": (6, 12),
    "sad": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
    "neutral": (),
}
VARIANTS = {
    "angry": {23: 0.6, 17: 0.3},
    "disgust": {9: 0.9, 25: 0.4, 16: 0.2},
    "fear": {26: 0.4, 7: 0.2},
    "happy": {25: 0.6, 26: 0.3},
    "sad": {17: 0.5, 6: 0.2, 43: 0.15},
    "surprise": {25: 1.0},
    "neutral": {43: 0.06, 25: 0.1},
}
CIRCUMPLEX = {
    "angry": (-0.5, 0.7),
    "disgust": (-0.7, 0.3),
    "fear": (-0.6, 0.8),
    "happy": (0.9, 0.4),
    "sad": (-0.8, -0.4),
    "surprise": (0.3, 0.8),
}
LOWEST_INTENSITY = 0.6
TWITCH = 0.08


def matches(path: Path) -> bool:
    """Return False, because the faces are drawn and no file holds them.

    Args:
        path: not used.

    Returns:
        False.
    """
    return False


def load(path: Path | None, split: str, skip_bad_rows: bool = False, size: Size = SIZE) -> Samples:
    """Draw one split at 64x64 pixels and resize it. Arguments: see `datasets`.

    Images are uint8 (N, height, width, 3) RGB, equally many of each class, with valence and arousal
    in -1..1. N is IMAGES[split]. No person is in two splits.
    """
    drawn = generate(IMAGES[split], SEEDS[split])
    return replace(drawn, images=images.resize(drawn.images, *images.height_width(size)))


def generate(count: int, seed: int) -> Samples:
    """Draw faces, each of another person, with the classes in turn and then shuffled.

    Args:
        count: number of faces.
        seed: equal seeds give equal faces.

    Returns:
        Samples with uint8 (count, 64, 64, 3) images, and `values` valence and arousal in -1..1.
    """
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % len(CLASS_NAMES))
    units = expressions(labels, generator)
    people = drawing.sample(generator, count, traits.PERSON)
    scenes = drawing.sample(generator, count, drawing.SCENE)
    drawn = cartoon.draw(people, units, scenes, generator)
    return Samples(drawn, labels, CLASS_NAMES, affect(units), label_name="expression")


def film(units: np.ndarray, seed: int) -> np.ndarray:
    """Draw one person in one place over time.

    Args:
        units: action units, float (T, 18) in 0..1.
        seed: seed of the person and the place.

    Returns:
        uint8 (T, 64, 64, 3).
    """
    generator = np.random.default_rng(seed)
    person, scene = (
        drawing.sample(generator, 1, traits) for traits in (traits.PERSON, drawing.SCENE)
    )
    return cartoon.draw(person.repeat(len(units)), units, scene.repeat(len(units)), generator)


def expressions(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw action units that show the given classes with varying intensity and variants.

    Args:
        labels: class numbers, int (N,).
        generator: the source of randomness.

    Returns:
        float (N, 18) in 0..1.
    """
    intensity = generator.uniform(LOWEST_INTENSITY, 1, (len(labels), 1))
    jitter = generator.uniform(0.75, 1.1, (len(labels), len(traits.UNITS)))
    chance = np.stack([chances(name) for name in CLASS_NAMES])[labels]
    active = generator.random(chance.shape) < chance
    twitch = generator.uniform(0, TWITCH, chance.shape)
    return np.clip(active * intensity * jitter + twitch, 0, 1)


def prototype(class_name: str) -> np.ndarray:
    """Return the action units of an expression at full intensity.

    Args:
        class_name: one of the seven expressions.

    Returns:
        float (18,): 1 for an action unit that takes part, else 0.
    """
    return np.array([float(unit in PROTOTYPES[class_name]) for unit in traits.UNITS])


def chances(class_name: str) -> np.ndarray:
    """Return the probability that each action unit takes part in an expression.

    Args:
        class_name: one of the seven expressions.

    Returns:
        float (18,) in 0..1.
    """
    variants = [VARIANTS[class_name].get(unit, 0.0) for unit in traits.UNITS]
    return np.maximum(prototype(class_name), variants)


def affect(units: np.ndarray) -> dict[str, np.ndarray]:
    """Return the valence and arousal of action units by the formula of this module.

    Args:
        units: action units, float (N, 18) in 0..1.

    Returns:
        valence and arousal by name, each float32 (N,) in -1..1.
    """
    weights = np.linalg.pinv([prototype(name) for name in CIRCUMPLEX]) @ np.array(
        list(CIRCUMPLEX.values())
    )
    valence, arousal = np.clip(units @ weights, -1, 1).astype(np.float32).T
    return {"valence": valence, "arousal": arousal}
