from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from keras_kd.datasets import decoding
from keras_kd.datasets.readers import _image_files as image_files
from keras_kd.errors import DataError


def test_images_are_fitted_and_remember_their_size(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    Image.new("L", (8, 8), 7).save(tmp_path / "2.png")
    pictures = image_files.read([tmp_path / "1.png", tmp_path / "2.png"], (16, 16, 1))
    expected = Image.fromarray(pixels).convert("L").resize((16, 16), Image.Resampling.BILINEAR)
    # Whether rows or columns are resized first moves a value by one.
    np.testing.assert_allclose(
        pictures.images[0, :, :, 0].astype(int), np.asarray(expected).astype(int), atol=1
    )
    assert (pictures.images[1] == 7).all()
    assert pictures.sizes.tolist() == [[30, 20], [8, 8]]
    assert pictures.kept.tolist() == [True, True]


def test_sixteen_bit_files_keep_their_upper_bits(tmp_path):
    Image.fromarray(np.full((4, 4), 0x8123, np.uint16)).save(tmp_path / "1.png")
    # As ImageJ writes them: the higher byte first.
    Image.frombytes("I;16B", (4, 4), np.full((4, 4), 0x8123, ">u2").tobytes()).save(
        tmp_path / "2.tif"
    )
    for name in ("1.png", "2.tif"):
        assert (image_files.read([tmp_path / name], (4, 4, 1)).images == 0x81).all()


def test_pixels_whose_range_is_unknown_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "1.tif")
    with pytest.raises(
        DataError,
        match="1.tif holds floating-point pixels, whose range is unknown: save it in 8 or",
    ):
        image_files.read([tmp_path / "1.tif"], (4, 4, 1))


def test_only_visible_image_files_are_listed(tmp_path):
    for name in ("b.PNG", "a.jpeg", "notes.txt", ".hidden.png", "Thumbs.db"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    assert [file.name for file in image_files.image_files(tmp_path)] == ["a.jpeg", "b.PNG"]
    assert list(image_files.class_folders(tmp_path)) == ["sub"]
    assert image_files.image_files(tmp_path / "none") == []
    assert image_files.class_folders(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("1", 1), ("LA", 1), ("RGB", 3), ("P", 3)]
)
def test_channels_are_told_by_the_modes_of_files_or_contents(tmp_path, mode, channels):
    Image.new("L", (4, 4)).save(tmp_path / "1.png")
    Image.new(mode, (4, 4)).save(tmp_path / "2.png")
    (tmp_path / "3.png").write_bytes(b"broken")
    files = sorted(tmp_path.iterdir())
    assert decoding.channels(files) == channels
    assert decoding.channels(file.read_bytes() for file in files) == channels


def test_missing_files_are_named_or_skipped(tmp_path):
    Image.new("L", (4, 4), 9).save(tmp_path / "2.png")
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    with pytest.raises(DataError, match=r"1\.png does not exist"):
        image_files.read(paths, (4, 4, 1))
    pictures = image_files.read(paths, (4, 4, 1), skip_bad_rows=True)
    assert pictures.kept.tolist() == [False, True]
    assert pictures.images.shape == (1, 4, 4, 1)
    assert len(pictures.skipped) == 1
