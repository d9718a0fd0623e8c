"""Pictures without labels: those that are scored are left out, in whatever form they lie there."""

from __future__ import annotations

import pytest
from PIL import Image

from keras_kd.datasets import duplicates, unlabeled
from keras_kd.datasets.readers import faces
from keras_kd.errors import DataError

SHAPE = (64, 64, 3)


@pytest.fixture(scope="module")
def drawn():
    return faces.load(None, "test").images[:24]


def test_equal_and_nearly_equal_pictures_are_left_out_and_others_kept(drawn, tmp_path):
    scored, others = drawn[:8], drawn[8:]
    (tmp_path / "deep").mkdir()
    for number, picture in enumerate(others):
        Image.fromarray(picture).save(tmp_path / "deep" / f"{number}.png")
    Image.fromarray(scored[0]).save(tmp_path / "equal.png")
    Image.fromarray(scored[1]).save(tmp_path / "compressed.jpg", quality=60)
    Image.fromarray(scored[2]).resize((40, 40)).save(tmp_path / "smaller.png")
    Image.fromarray(scored[3]).point(lambda value: int(0.85 * value)).save(tmp_path / "dark.png")
    found = unlabeled.load([tmp_path], SHAPE, (scored[:4], scored[4:]))
    assert (found.equal, found.near) == (1, 3)
    assert sorted(file.name for file in found.files) == sorted(
        f"{number}.png" for number in range(len(others))
    )
    assert found.images.shape == (len(others), *SHAPE)
    assert unlabeled.reloaded(found, (32, 32, 1)).shape == (len(others), 32, 32, 1)


def test_a_mirrored_picture_is_another(drawn):
    mirrored, hashes = map(duplicates.perceptual_hashes, (drawn[:4, :, ::-1], drawn[:4]))
    assert not duplicates.look_alike(mirrored, hashes).any()
    assert duplicates.look_alike(hashes, hashes).all()


def test_a_folder_twice_counts_once_and_what_can_not_be_used_is_told(drawn, tmp_path):
    Image.fromarray(drawn[0]).save(tmp_path / "one.png")
    found = unlabeled.load([tmp_path, tmp_path], SHAPE, (drawn[1:3],))
    assert len(found.images) == 1
    with pytest.raises(DataError, match="All 1 pictures .* are validation or test"):
        unlabeled.load([tmp_path], SHAPE, (drawn[:1],))
    with pytest.raises(DataError, match="No pictures in .*nowhere.*--unlabeled"):
        unlabeled.load([tmp_path / "nowhere"], SHAPE, (drawn[:1],))
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="broken.png"):
        unlabeled.load([tmp_path], SHAPE, (drawn[1:3],))
    assert len(unlabeled.load([tmp_path], SHAPE, (drawn[1:3],), True).skipped) == 1
