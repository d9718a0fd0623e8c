"""Parquet files that are small and stand for much, or name files outside of their folder."""

from __future__ import annotations

import time

import numpy as np
import pytest
from parquet_files import NAMES, pixels, png, write
from PIL import Image

from keras_kd import datasets
from keras_kd.errors import DataError

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
parquet = pytest.importorskip("pyarrow.parquet")


def test_a_path_that_leads_out_of_the_folder_is_not_followed(tmp_path):
    Image.fromarray(pixels(1)[0]).save(tmp_path / "a.png")
    for number, path in enumerate(("../a.png", str(tmp_path / "a.png"))):
        folder = tmp_path / f"data{number}"
        images = [*map(png, pixels(30)), path]
        write(folder / "train.parquet", images, [0, 1] * 15 + [0], NAMES)
        with pytest.raises(DataError, match="row 30: the image .*a.png lies outside of"):
            [datasets.load(folder, split) for split in datasets.SPLITS]


def test_rows_that_a_small_file_declares_are_refused_at_once(tmp_path):
    rows = 1_000_000
    image = pyarrow.array([{"bytes": png(pixels(1)[0]), "path": None}])
    table = pyarrow.table({
        "image": image.take(pyarrow.array(np.zeros(rows, np.int32))),
        "label": np.zeros(rows, np.int64),
    })  # fmt: skip
    path = tmp_path / "train.parquet"
    parquet.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 100_000
    started = time.process_time()
    with pytest.raises(DataError, match="has 1,000,000 rows or more in .* bytes, fewer than 1 for"):
        datasets.load(f"parquet:{tmp_path}", "train")
    assert time.process_time() - started < 1


def test_images_that_a_small_file_repeats_are_refused_before_all_are_read(tmp_path):
    """Rows of paths take fewer bytes than images."""
    image = pyarrow.array([{"bytes": png(pixels(1)[0]), "path": None}] * 20_000)
    salt = pyarrow.array([np.random.default_rng(row).bytes(2) for row in range(20_000)])
    table = pyarrow.table({"image": image, "label": NAMES * 10_000, "salt": salt})
    path = tmp_path / "train.parquet"
    parquet.write_table(table, path, compression="zstd")
    assert 20_000 < path.stat().st_size < 160_000
    with pytest.raises(DataError, match=r"has \d?\d,\d+ images or more in .* fewer than 16 for"):
        datasets.load(f"parquet:{tmp_path}", "train")


@pytest.mark.parametrize("layout", ["bytes", "struct"])
def test_an_image_that_many_rows_name_is_copied_for_few_at_a_time(layout, tmp_path):
    """A dictionary holds 2 MB once; copied for each row they would be 512 MB."""
    content = pyarrow.array([png(pixels(1)[0]) + bytes(2_000_000)])
    held = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 256, "int32"), content)
    image = held if layout == "bytes" else pyarrow.StructArray.from_arrays([held], ["bytes"])
    salt = pyarrow.array([np.random.default_rng(row).bytes(32) for row in range(256)])
    table = pyarrow.table({"image": image, "label": ["a", "b"] * 128, "salt": salt})
    path = tmp_path / "train.parquet"
    # Without Arrow's own schema nothing says that a dictionary was written.
    parquet.write_table(table, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 20_000
    highest = pyarrow.default_memory_pool().max_memory
    allowed = max(highest(), 400_000_000)
    assert len(datasets.load(f"parquet:{tmp_path}", "train")) > 200
    assert highest() <= allowed


def test_labels_that_are_no_names_are_refused_before_they_are_copied(tmp_path):
    long = pyarrow.array(["a" * 2_000_000])
    held = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 64, "int32"), long)
    images = list(map(png, pixels(64)))
    table = pyarrow.table({"image": images, "label": held})
    parquet.write_table(table, tmp_path / "train.parquet", compression="zstd", store_schema=False)
    with pytest.raises(DataError, match="a label of 2,000,000 bytes, more than 2000"):
        datasets.load(f"parquet:{tmp_path}", "train")
