"""The teacher's pass over all images: computed in chunks, written into a store, and continued after
it was killed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from keras_kd._common.arrays import mapped_array
from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.files import claim, forced, names_forced, refusals, write_text
from keras_kd.errors import DataError
from keras_kd.teachers.soft_labels import RECORD, Key, SoftLabels, open_store
from keras_kd.teachers.views import Images, Views

LARGEST_FLOAT16 = 65504.0
CHUNK = 2048
# What `in_turn` takes and yields.
Compute = Callable[
    [Images, Views, Callable[[Images], np.ndarray], Sequence[range]], Iterator[np.ndarray]
]


def in_turn(
    images: Images,
    views: Views,
    teacher: Callable[[Images], np.ndarray],
    chunks: Sequence[range],
) -> Iterator[np.ndarray]:
    """Compute the teacher's outputs in this process.

    Args:
        images: uint8 (N, H, W, C), may be memory-mapped; or those at several sizes.
        views: the views of the images.
        teacher: a function from uint8 (n, H, W, C), or those at the same sizes, to float32
            (n, columns).
        chunks: ranges within 0..N·views, where view v of row r has the index r·views + v; at
            least one.

    Yields:
        float32 (n, columns) for each chunk, in order.
    """
    # One thread draws the next chunk's pixels while the teacher computes this one's logits.
    with ThreadPoolExecutor(1) as pool:
        drawn = pool.submit(shown, images, views, chunks[0])
        for following in [*chunks[1:], None]:
            pixels = drawn.result()
            if following is not None:
                drawn = pool.submit(shown, images, views, following)
            yield teacher(pixels)


def shown(images: Images, views: Views, chunk: range) -> Images:
    """Return the pixels of a chunk.

    Args:
        images: uint8 (N, H, W, C), may be memory-mapped; or those at several sizes.
        views: the views of the images.
        chunk: a range as for `in_turn`.

    Returns:
        uint8 (n, H, W, C), or those at the same sizes.
    """
    positions = np.array(chunk)
    return views.show(images, positions // len(views), positions % len(views))


def fill(
    folder: str | Path,
    key: Key,
    images: Images,
    views: Views,
    teacher: Callable[[Images], np.ndarray],
    advance: Callable[[int], None] = lambda count: None,
    chunk: int = CHUNK,
    compute: Compute = in_turn,
) -> SoftLabels:
    """Compute and store the teacher's outputs for every view of every image, or continue a pass
    that was killed.

    Args:
        folder: folder of the store; a finished store with the same key is opened as it is.
        key: identity of the logits.
        images: uint8 (N, H, W, C), may be memory-mapped; or those at several sizes.
        views: the views to store.
        teacher: a function from uint8 (n, H, W, C), or those at the same sizes, to float32
            (n, columns): the logits in the order of `key.class_names`, then the values in the
            order of `key.values`.
        advance: called with the number of views done, for a progress bar.
        chunk: number of views that are computed and recorded at a time.
        compute: how the outputs are computed: `in_turn`, or by several processes, see
            `keras_kd.teachers.labelling`.

    Returns:
        The opened store.

    Raises:
        OutputError: there is no room, or the folder can't be written.
        DataError: the folder holds something else, or a logit of the teacher is not finite or does
            not fit into float16.
    """
    folder = Path(folder)
    whole, partial = folder / "logits.npy", folder / "logits.npy.partial"
    progress = folder / "progress.json"
    if (folder / RECORD).exists():
        advance(len(images) * len(views))
        progress.unlink(missing_ok=True)  # left by a process that was killed as it finished
        return open_store(folder, key)
    with refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
    shape = (len(images), len(views), key.columns)
    if whole.exists() and not partial.exists():
        whole.replace(partial)  # renamed by a process that was killed before it wrote the record
    logits, state = _begun(partial, progress, key, chunk, shape)
    advance(state["done"])
    flat = logits.reshape(-1, shape[2])
    missing = [
        range(start, min(start + chunk, len(flat)))
        for start in range(state["done"], len(flat), chunk)
    ]
    outputs = compute(images, views, teacher, missing) if missing else ()
    for positions, exact in zip(missing, outputs, strict=True):
        error = _rounded_into(flat[positions.start : positions.stop], exact)
        # The logits are in the file before the note says so.
        logits.flush()
        error = max(state["rounding_error"], error)
        state = state | {"done": positions.stop, "rounding_error": error}
        write_text(progress, json.dumps(state))
        advance(len(positions))
    forced(partial)
    partial.replace(whole)
    names_forced(folder)
    record = {"key": asdict(key), "rounding_error": state["rounding_error"]}
    # Written last: where the record is, the store is whole.
    write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")
    progress.unlink()
    return open_store(folder, key)


def _rounded_into(part: np.ndarray, exact: np.ndarray) -> float:
    """Write outputs into their part of the store, as float16; the largest error that makes."""
    part[:] = _checked(exact, *part.shape)
    return float(np.abs(part.astype(np.float32) - exact).max())


def _begun(
    partial: Path, progress: Path, key: Key, chunk: int, shape: tuple[int, ...]
) -> tuple[np.memmap, dict]:
    """The array to fill, and what is done of it: those of a killed pass, or new ones."""
    state = _progress(progress, key, chunk)
    logits = _reopened(partial, shape) if state["done"] else None
    if logits is None:
        return _created(partial, shape), {**state, "done": 0, "rounding_error": 0.0}
    return logits, state


def _reopened(path: Path, shape: tuple[int, ...]) -> np.memmap | None:
    """The array that a killed pass left, mapped into memory; None where it is gone or cut short."""
    try:
        # Opened to be written at once, a file that was cut short would be filled up with zeros.
        mapped_array(path)
        logits = np.lib.format.open_memmap(path, "r+")
    except (FileNotFoundError, ValueError):
        return None
    return logits if logits.shape == shape else None


def _created(path: Path, shape: tuple[int, ...]) -> np.memmap:
    with refusals(path):
        logits = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        try:
            with path.open("r+b") as file:
                claim(file, path.stat().st_size)
        except OSError:
            path.unlink()
            raise
    return logits


def _progress(path: Path, key: Key, chunk: int) -> dict:
    """What is done of this key's pass; nothing where another key's or chunk's pass lies there."""
    fresh = {"key": key.short, "chunk": chunk, "done": 0, "rounding_error": 0.0}
    try:
        state = read_json(
            read_text(path), {"key": str, "chunk": int, "done": int, "rounding_error": float}
        )
    except (FileNotFoundError, ValueError):
        return fresh
    return state if (state["key"], state["chunk"]) == (key.short, chunk) else fresh


def _checked(logits: np.ndarray, rows: int, columns: int) -> np.ndarray:
    if logits.shape != (rows, columns):
        raise DataError(
            f"The teacher gave logits of shape {logits.shape}: expected {(rows, columns)}."
        )
    return finite(logits)


def finite(logits: np.ndarray) -> np.ndarray:
    """Check a teacher's outputs.

    Args:
        logits: of any shape.

    Returns:
        The same array.

    Raises:
        DataError: one is not finite, or does not fit into float16.
    """
    if not np.isfinite(logits).all() or np.abs(logits).max() > LARGEST_FLOAT16:
        raise DataError(
            f"The teacher gave logits that are not finite or beyond {LARGEST_FLOAT16:g}: "
            "check its weights and --teacher-range."
        )
    return logits
