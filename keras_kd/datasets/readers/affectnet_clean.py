"""AffectNet without the rows whose valence and arousal contradict their expression, EmoNet's
cleaning rule.

Forms on disk and splits are those of `affectnet`; ask for it by name, `affectnet_clean:PATH`.
Toisoul et al. 2021 train and test on such rows: scores on them are not comparable with those on
all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_kd.datasets import Samples
from keras_kd.datasets.readers import _affectnet

CLASS_NAMES = _affectnet.CLASS_NAMES
SIZE = 224


def matches(path: Path) -> bool:
    """Return False: the rule is asked for by name."""
    return False


def load(path: Path | None, split: str, skip_bad_rows: bool = False, size: int = SIZE) -> Samples:
    """Load the rows of one split that fit the rule, see `_affectnet.kept`, as `affectnet` does."""
    return load_splits(path, (split,), skip_bad_rows, size)[split]


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: int
) -> dict[str, Samples]:
    """Load some splits, each table of labels once; as `load`."""
    return _affectnet.load_splits(path, splits, skip_bad_rows, size, clean=True)
