"""AffectNet, 8 expressions, valence and arousal: `train_set/` and `val_set/` with annotations, or
`training.csv` and `validation.csv`.

Mollahosseini, Hasani, Mahoor 2019; for those who have it from its authors. Forms on disk:

- `train_set/` and `val_set/` with `images/N.jpg` and `annotations/N_exp.npy`, `N_val.npy`,
`N_aro.npy`, `N_lnd.npy`;
- `training.csv` and `validation.csv` (columns subDirectory_filePath, facial_landmarks, expression,
valence, arousal)
  with the images in `Manually_Annotated_Images/` or beside them.

Faces are cropped as EmoNet does, a square of (width + height)·200/220 of the landmarks' box with
the same centre. Rows of no expression (8 none, 9 uncertain, 10 no face) are not loaded; a valence
or arousal of -2 is unknown. The published validation split is the test split here; 5 % of the
training images of each class are held out as validation.
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
    """Whether a path looks like this data set.

    Args:
        path: a file or folder.

    Returns:
        True for a folder with annotations/N_exp.npy for its splits, or with AffectNet's csv tables.
    """
    return _affectnet.matches(path)


def load_splits(
    path: Path | None, splits: Sequence[str], skip_bad_rows: bool, size: Size
) -> dict[str, Samples]:
    """Load several splits and read each table of labels once. Arguments: see `datasets`.

    Images are uint8 (N, height, width, 3), and valence and arousal are NaN where they are unknown.
    """
    return _affectnet.load_splits(path, splits, skip_bad_rows, size, clean=False)


load = _splitting.one_split(load_splits, SIZE)


def sources(path: Path) -> list[Path]:
    """Return every file that the splits are read from. Arguments: see `datasets`."""
    return _affectnet.sources(path)
