"""Words that options and data sets share; help shows them without importing NumPy."""

from __future__ import annotations

SPLITS = ("train", "validation", "test")

# What `--augment` is composed of: changes of one image, mixtures of two of a batch, and what the
# student sees worse than its teacher.
CHANGES = ("crops", "mirror", "jitter", "turn", "erase", "strong")
MIXTURES = ("mixup", "cutmix")
DEGRADE = "degrade"
# As mirror where the classes are expressions of faces; elsewhere a mirror image may be of another
# class, as of digits, letters and arrows.
FACE_MIRROR = "face-mirror"

# How a target of `--log` begins.
TENSORBOARD, MLFLOW = "tensorboard:", "mlflow:"

# Images that are shuffled together, of data that stays in its shards.
SHUFFLE_BUFFER = 16_384

# Of one image; what is declared larger is refused before memory is taken for it.
MAX_PIXELS = 50_000_000
