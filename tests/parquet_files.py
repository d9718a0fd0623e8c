"""Parquet files of images, written by pyarrow as Hugging Face writes them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import pyarrow

NAMES = ("sun", "moon")


def pixels(count: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = (count, 10, 10, 3) if channels == 3 else (count, 10, 10)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def field(image: bytes | str | None) -> dict[str, bytes | str | None]:
    """As Hugging Face writes an image: its content, or its path alone."""
    is_path = isinstance(image, str)
    return {"bytes": None, "path": image} if is_path else {"bytes": image, "path": None}


def described(table: pyarrow.Table, features: dict[str, dict]) -> pyarrow.Table:
    """The table with what Hugging Face notes of its columns."""
    return table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )


def with_names(table: pyarrow.Table, names: Sequence[str]) -> pyarrow.Table:
    """The table with the names of the numbers in its column label, if there are any."""
    kinds = {"image": {"_type": "Image"}, "label": {"names": [*names], "_type": "ClassLabel"}}
    return described(table, kinds) if names else table


def write(
    path: Path,
    images: list[bytes | str | None],
    labels: list,
    names: tuple[str, ...] = (),
    struct: bool = True,
) -> None:
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    column = [field(image) for image in images] if struct else images
    table = pyarrow.table({"id": list(range(len(labels))), "image": column, "label": labels})
    parquet.write_table(with_names(table, names), path, row_group_size=4)
