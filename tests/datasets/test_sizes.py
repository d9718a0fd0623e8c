"""The same split at another size: the same rows in the same order, whatever was left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_kd import datasets
from keras_kd.datasets import splits
from keras_kd.errors import DataError


@pytest.fixture(params=["folder", "held out", "parquet", "fer2013"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Data of each kind of form, with rows that can't be read; every image is of one gray."""
    grays = np.random.default_rng(0).permutation(120)
    if request.param == "fer2013":
        rows = [
            f"{gray % 7 if gray % 10 else 9},{' '.join([str(gray)] * 2304)},"
            f"{('Training', 'PublicTest', 'PrivateTest')[gray % 3]}"
            for gray in grays
        ]
        (tmp_path / "f.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
        return tmp_path / "f.csv"
    splits = ("train", "val", "test") if request.param == "folder" else ("train",)
    for number, gray in enumerate(grays.tolist()):
        folder = tmp_path / splits[gray % len(splits)] / "ab"[gray % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40 + gray, 50), gray).save(folder / f"{number}.png")
        if gray % 10 == 0:
            (folder / f"{number}.png").write_bytes(b"broken")
    return _as_parquet(tmp_path) if request.param == "parquet" else tmp_path


def _as_parquet(folder: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    files = sorted((folder / "train").glob("*/*.png"), key=lambda file: file.name)
    table = pyarrow.table(
        {
            "image": [file.read_bytes() for file in files],
            "label": ["none" if file.stem == "7" else file.parent.name for file in files],
        }
    )
    (folder / "labels.txt").write_text("a\nb\n")
    parquet.write_table(table, folder / "train.parquet")
    return folder


def test_a_split_has_the_same_rows_at_every_size(data: Path) -> None:
    form = f"parquet:{data}" if (data / "train.parquet").exists() else data
    for split in datasets.SPLITS:
        small, own, large = (
            datasets.load(form, split, skip_bad_rows=True, size=size) for size in (8, None, 96)
        )
        assert own.images.shape[1:3] == (64, 64) and large.images.shape[1:3] == (96, 96)
        # An image of one gray is of that gray at every size, so it tells the row.
        rows = [samples.images[:, 0, 0, 0].tolist() for samples in (small, own, large)]
        assert rows[0] == rows[1] == rows[2] and len(set(rows[0])) == len(rows[0]) > 3
        assert small.labels.tolist() == own.labels.tolist() == large.labels.tolist()
        assert small.skipped == own.skipped == large.skipped
        np.testing.assert_array_equal(small.sizes, large.sizes)
        assert all(gray % 10 for gray in rows[0])
        classes = len(small.class_names)
        assert small.labels.tolist() == [gray % classes for gray in rows[0]]


@pytest.mark.parametrize("size", [0, -1, (8, 0), "48", 48.0, (8, 8, 3), (8,), None])
def test_sizes_of_no_images_are_refused(size: object, tmp_path: Path) -> None:
    """0 was taken for the data set's own size."""
    for name in "ab":
        (tmp_path / name).mkdir()
        for gray in range(3):
            Image.new("L", (4, 4), gray).save(tmp_path / name / f"{gray}.png")
    for load in (datasets.load, lambda path, _, size: splits.load(str(path), size=size)):
        if size is None:
            load(tmp_path, "train", size=size)
            continue
        with pytest.raises(DataError, match="size must be the side of a square .* Received: size="):
            load(tmp_path, "train", size=size)


def test_a_size_of_numpy_is_one(data: Path) -> None:
    images = datasets.load(data, "train", True, size=np.int64(9)).images
    assert images.shape[1:3] == (9, 9)
