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
from keras_kd.datasets.readers import _affectnet

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


def load(path: Path | None, split: str, skip_bad_rows: bool = False, size: Size = SIZE) -> Samples:
    """Load the rows of one split of AffectNet that fit the cleaning rule, see `_affectnet.kept`.

    Args:
        path: the file or folder.
        split: "train", "validation" or "test".
        skip_bad_rows: leave out unreadable rows and list them in `Samples.skipped`, instead of
            raising.
        size: of the images in pixels, the side of a square or (height, width).

    Returns:
        Samples with images uint8 (N, height, width, 3), and values valence and arousal.

    Raises:
        DataError: the data is missing or broken. The message names the file and the row.
    """
    return load_splits(path, (split,), skip_bad_rows, size)[split]


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: Size
) -> dict[str, Samples]:
    """Load several splits and read each table of labels once.

    Args:
        path: as for `load`.
        splits: names of splits.
        skip_bad_rows: as for `load`.
        size: as for `load`.

    Returns:
        Samples by split, each as `load` returns them.

    Raises:
        DataError: as for `load`.
    """
    return _affectnet.load_splits(path, splits, skip_bad_rows, size, clean=True)
