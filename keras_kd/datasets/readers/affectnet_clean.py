"""AffectNet without the rows whose valence and arousal contradict their expression; asked for by
name, `affectnet_clean:PATH`.

Forms on disk and splits are those of `affectnet`; the rule is EmoNet's. Toisoul et al. 2021 train
and test on such rows: scores on them are not comparable with those on all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_kd.datasets import Samples
from keras_kd.datasets.images import Size
from keras_kd.datasets.readers import _affectnet, _splitting

CLASS_NAMES = _affectnet.CLASS_NAMES
SIZE = 224


def matches(path: Path) -> bool:
    """Return False, because this data set is only chosen by name.

    Args:
        path: not used.

    Returns:
        False.
    """
    return False


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: Size
) -> dict[str, Samples]:
    """Load several splits of the rows that fit the cleaning rule, see
    `_affectnet.fits_expression`. Arguments: see `datasets`.

    Images are uint8 (N, height, width, 3); the values are valence and arousal.
    """
    return _affectnet.load_splits(path, splits, skip_bad_rows, size, clean=True)


load = _splitting.one_split(load_splits, SIZE)
