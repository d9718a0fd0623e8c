"""The store of a teacher's outputs: computed once per image and view, then used in every epoch.

A store is a folder of two files:

    logits.npy   float16 (images, views, columns), NumPy's own format, mapped into memory when read;
                 the columns are the classes' logits, then the continuous values
    store.json   the identity of the logits (`key`), the names of the columns, and the largest
                 rounding error

The store has logits, not probabilities, so that T, α and β can change without running the teacher
again. FER2013's 28,709 training images in two views take 0.8 MB. While a store is filled, it is
called `*.partial` and records which chunks are done, so that a killed pass continues where it
stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from keras_kd._common.arrays import fingerprint, mapped_array
from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.text import command_line, plain_reason
from keras_kd.errors import DataError
from keras_kd.teachers.views import Images, Views

SPREAD_OF = 1000  # images
ROUNDINGS = 100  # the smallest spread, in rounding errors, that counts as more than rounding
RECORD = "store.json"
_KEY = {
    "teacher": str,
    "images": str,
    "views": [str],
    "class_names": [str],
    "values": ([str], None),
}
_SCHEMA = {"key": _KEY, "rounding_error": float}


@dataclass(frozen=True)
class Key:
    """Identity of a store's logits, by content.

    Attributes:
        teacher: fingerprint of the teacher's weights and specification.
        images: fingerprint of the uint8 images, in order.
        views: names of the views, in order.
        class_names: order of the logits.
        values: names of the continuous values after the logits.
    """

    teacher: str
    images: str
    views: tuple[str, ...]
    class_names: tuple[str, ...]
    values: tuple[str, ...] = ()

    @property
    def columns(self) -> int:
        """The number of logits and values of a view."""
        return len(self.class_names) + len(self.values)

    @property
    def short(self) -> str:
        """The key as 16 hexadecimal digits."""
        return fingerprint([json.dumps(asdict(self), sort_keys=True)])


@dataclass(frozen=True)
class SoftLabels:
    """An opened store.

    Attributes:
        key: identity of the logits.
        logits: float16 (images, views, columns), memory-mapped.
        rounding_error: largest |float32 logit - stored logit|.
    """

    key: Key
    logits: np.ndarray
    rounding_error: float


def image_fingerprint(images: np.ndarray) -> str:
    """Return a fingerprint of images, in order.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        Hexadecimal digits.
    """
    return fingerprint([images])


def open_store(folder: str | Path, expected: Key | None = None) -> SoftLabels:
    """Open a store.

    Args:
        folder: the folder that `fill` wrote.
        expected: the key that the store must have; None for any. If its `teacher` is "", teacher
            and values are not compared, for use without a teacher.

    Returns:
        The opened store.

    Raises:
        DataError: there is no store, or it is damaged or has another key. The message lists the
            differences.
    """
    folder = Path(folder)
    try:
        stored = read_json(read_text(folder / RECORD), _SCHEMA)
        fields = stored["key"]
        views, class_names = tuple(fields["views"]), tuple(fields["class_names"])
        key = Key(
            fields["teacher"],
            fields["images"],
            views,
            class_names,
            # Stores that were made before there were values lack them.
            tuple(fields.get("values") or ()),
        )
        logits = mapped_array(folder / "logits.npy")
    except FileNotFoundError as missing:
        raise DataError(
            f"No soft labels in {folder}: make them with"
            f" `{command_line(['kerakd', 'teach', '--soft-labels', folder])}`."
        ) from missing
    except (ValueError, OSError) as damaged:
        raise DataError(
            f"The soft labels in {folder} are damaged ({plain_reason(damaged)}):"
            " delete the folder and make them again."
        ) from damaged
    if logits.dtype != np.float16 or logits.shape[1:] != (len(key.views), key.columns):
        raise DataError(
            f"{folder / 'logits.npy'} holds {logits.dtype} {logits.shape}, expected float16 "
            f"(images, {len(key.views)}, {key.columns}): delete the folder and make them again."
        )
    if expected is not None:
        _refuse_differences(folder, key, expected)
    return SoftLabels(key, logits, stored["rounding_error"])


def _refuse_differences(folder: Path, key: Key, expected: Key) -> None:
    # Without a teacher, the outputs recorded in the store are used, even if they are values alone.
    told = (
        ()
        if expected.teacher
        else ("teacher", "values") + (("class_names",) if not key.class_names else ())
    )
    differences = [
        f"{name} ({_short(stored)} in the store, {_short(own)} here)"
        for name, stored in asdict(key).items()
        if (own := asdict(expected)[name]) != stored and name not in told
    ]
    if differences:
        raise DataError(
            f"The soft labels in {folder} were made for something else: {'; '.join(differences)}. "
            "Use the same data, teacher and views, or make new ones."
        )


def _short(value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return value
    return (
        f"{len(value)} from {value[0]!r} to {value[-1]!r}" if len(value) > 3 else ", ".join(value)
    )


def verify(
    store: SoftLabels,
    images: Images,
    views: Views,
    teacher: Callable[[Images], np.ndarray],
    count: int,
    seed: int = 0,
    tolerance: float = 0.05,
) -> float:
    """Recompute random views of a store and compare them with the stored ones.

    Args:
        store: the opened store.
        images: uint8 (N, H, W, C), the images of the store.
        views: the views of the store.
        teacher: a function from uint8 (n, H, W, C) to float32 (n, columns).
        count: number of views to recompute.
        seed: seed of the random choice.
        tolerance: largest difference allowed, in the unit of the result.

    Returns:
        The largest difference, divided by the standard deviation of the stored logits, or of the
            values, of the first 1,000 images, or by 100 times the rounding error where that is
            more.

    Raises:
        DataError: the difference is above `tolerance`.
    """
    total = len(images) * len(views)
    positions = np.random.default_rng(seed).choice(total, min(count, total), replace=False)
    rows, numbers = positions // len(views), positions % len(views)
    stored = store.logits[rows, numbers].astype(np.float32)
    found, logits = teacher(views.show(images, rows, numbers)), len(store.key.class_names)
    # Logits and values have spreads of their own.
    parts = [part for part in (slice(logits), slice(logits, None)) if stored[:, part].size]
    spreads = [store.logits[:SPREAD_OF, :, part].astype(np.float32).std() for part in parts]
    # Where a teacher answers nearly the same to everything, rounding is more than the spread.
    least = max(ROUNDINGS * store.rounding_error, 1e-6)
    difference = max(
        float(np.abs(found[:, part] - stored[:, part]).max() / max(spread, least))
        for part, spread in zip(parts, spreads, strict=True)
    )
    if not difference <= tolerance:
        raise DataError(
            f"The soft labels differ from the teacher by {difference:.3g} of their spread on"
            f" {len(positions)} random views, more than {tolerance:g}: delete the store and make it"
            " again."
        )
    return difference


def remark(store: SoftLabels) -> str | None:
    """Look for the same answer to all images in a store.

    Args:
        store: of at least one image.

    Returns:
        As `same_answers`.
    """
    return same_answers(store.logits, store.key.class_names)


def same_answers(outputs: np.ndarray, class_names: tuple[str, ...]) -> str | None:
    """Say so where a teacher answers the same to every image: a student learns nothing from it.

    Args:
        outputs: float (N, ..., columns) of N images, at least one: logits, then values.
        class_names: of the logits.

    Returns:
        A sentence; None where the answers differ.
    """
    # Images may lie class by class.
    probed = outputs[:: -(-len(outputs) // SPREAD_OF)].reshape(-1, outputs.shape[-1])
    chances = probed[:, : len(class_names)]
    if (probed == probed[0]).all():
        same = "gives the same output"
    elif len(class_names) > 1 and len(found := np.unique(chances.argmax(1))) == 1:
        same = f"answers {class_names[found[0]]}"
    else:
        return None
    return f"Note: the teacher {same} for all images: check its weights and --teacher-range."
