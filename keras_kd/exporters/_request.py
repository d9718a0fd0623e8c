"""What of a request for an export makes no sense, found before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import numpy as np

from keras_kd._common.files import refusals
from keras_kd.datasets import Samples, class_names
from keras_kd.errors import ExportError, OutputError
from keras_kd.exporters import _judgement


def names(given: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the class names as a tuple, of a list or an array too."""
    if given is None:
        return None
    found = (given,) if isinstance(given, str) else tuple(given)
    if isinstance(given, str) or not all(isinstance(name, str) for name in found):
        raise ExportError(
            "class_names must be one name for each output, e.g. ('cat', 'dog'). Received:"
            f" {given!r}."
        )
    if (twice := class_names.repeated(found)) and not class_names.are_mostly_different(found):
        raise ExportError(f"class_names: {twice}; name each class once. Received: {given!r}.")
    return tuple(map(str, found))


def check_settings(format: str, keep_float: tuple[str, ...], agreement: float) -> None:
    """Refuse settings that the format has not, or that are out of their range."""
    if keep_float and format != "int8":
        raise ExportError(
            f"keep_float belongs to the format int8: leave it out. Received: format={format!r}."
        )
    _judgement.require_share(agreement)


def require_path(format: str, suffix: str, path: Path) -> None:
    """Check that a path can be that of an exported file.

    Args:
        format: the format's name, for the message.
        suffix: what the format's files end in, "" for a folder.
        path: where the user wants the file.

    Raises:
        ExportError: the path ends otherwise.
        OutputError: a folder lies there.
    """
    if suffix and path.suffix != suffix:
        raise ExportError(
            f"The format {format} is written to files ending in {suffix}. Received: {path}."
        )
    with refusals(path):  # as of a name that is too long
        if suffix and path.is_dir():
            raise OutputError(f"{path} is a folder: choose the path of a file.")


def check(
    module: ModuleType, format: str, path: Path, io: str, samples: Samples | np.ndarray | None
) -> None:
    """Refuse a path, an io or samples that the format can't have."""
    require_path(format, module.SUFFIX, path)
    if io not in module.IO:
        raise ExportError(
            f"The format {format} offers io={' or '.join(map(repr, module.IO))}. Received:"
            f" io={io!r}."
        )
    if samples is None and module.NEEDS_SAMPLES:
        raise ExportError(
            f"The format {format} is calibrated on images: give some of the training data as"
            " samples (--data)."
        )
    if not isinstance(samples, (Samples, np.ndarray, type(None))):
        raise ExportError(
            f"samples must be an array (N, H, W, C) or Samples. Received: {type(samples).__name__};"
            " numpy.stack(images) makes one of a list or tensor, and numpy.concatenate([images for"
            " images, labels in dataset.take(8)]) of a data set's batches."
        )
    if samples is not None and not len(samples):
        raise ExportError("There are no images among the samples: give some of the training data.")
