"""The store of a teacher's logits: exact, resumable, and refused where it belongs to something
else.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from keras_kd.errors import DataError, OutputError
from keras_kd.teachers import soft_label_pass, soft_labels
from keras_kd.teachers.soft_label_pass import fill
from keras_kd.teachers.soft_labels import Key, image_fingerprint, open_store, verify
from keras_kd.teachers.views import Views

CLASSES = ("angry", "happy", "sad")
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 6, 6, 1), dtype=np.uint8)
IMAGES[0] = 254  # Large logits round most, and the first chunk is not the last.
VIEWS = Views("mirror", 30)
KEY = Key("weights", image_fingerprint(IMAGES), VIEWS.names, CLASSES)


def _teacher(pixels):
    """Sums of the left, the right and the upper pixels: a mirror image has the first two the other
    way round.
    """
    pixels = pixels.astype(np.float32)
    parts = [pixels[:, :, :3], pixels[:, :, 3:], pixels[:, :3]]
    return np.stack([part.sum((1, 2, 3)) / 999 for part in parts], 1).astype(np.float32)


class _Counting:
    """Counts the images asked for, and breaks off like a kill after `calls` calls."""

    def __init__(self, calls=None):
        self.images, self.calls = 0, calls

    def __call__(self, pixels):
        if self.calls == 0:
            raise KeyboardInterrupt
        self.calls = None if self.calls is None else self.calls - 1
        self.images += len(pixels)
        return _teacher(pixels)


def _fill(folder, teacher=_teacher, key=KEY, **options):
    return fill(folder, key, IMAGES, VIEWS, teacher, chunk=7, **options)


def _expected():
    return np.stack([_teacher(IMAGES), _teacher(IMAGES[:, :, ::-1])], 1)


def test_a_store_holds_every_view_in_float16_and_its_rounding_error(tmp_path):
    done = []
    _fill(tmp_path / "store", advance=done.append)
    store = open_store(tmp_path / "store", KEY)
    exact = _expected()
    np.testing.assert_array_equal(store.logits, exact.astype(np.float16))
    np.testing.assert_array_equal(store.logits[:, 0, 0], store.logits[:, 1, 1])
    assert store.key == KEY and sum(done) == 60
    errors = np.abs(exact.astype(np.float16).astype(np.float64) - exact)
    assert store.rounding_error == pytest.approx(errors[0].max(), rel=1e-6)
    assert errors[0].max() == errors.max() > errors[1:].max() > 0
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"logits.npy", "store.json"}


def test_a_store_is_mapped_plain_numpy(tmp_path):
    store = _fill(tmp_path / "store")
    assert isinstance(store.logits, np.memmap) and not store.logits.flags.writeable
    np.testing.assert_array_equal(np.load(tmp_path / "store" / "logits.npy"), store.logits)


def test_a_finished_store_needs_no_teacher_again(tmp_path):
    _fill(tmp_path / "store")
    teacher, done = _Counting(), []
    _fill(tmp_path / "store", teacher, advance=done.append)
    assert teacher.images == 0 and done == [60]


def test_fer2013s_two_views_take_less_than_a_megabyte(tmp_path):
    images, views = np.zeros((28709, 1, 1, 1), np.uint8), Views("mirror", 28709)
    key = Key("weights", "images", views.names, tuple("abcdefg"))
    fill(
        tmp_path / "store",
        key,
        images,
        views,
        lambda pixels: np.zeros((len(pixels), 7), np.float32),
    )
    size = sum(path.stat().st_size for path in (tmp_path / "store").iterdir())
    assert 28709 * 2 * 7 * 2 < size < 1e6
    assert open_store(tmp_path / "store").logits.shape == (28709, 2, 7)


@pytest.mark.parametrize("calls", [0, 1, 5])
def test_a_killed_pass_goes_on_where_it_was(calls, tmp_path):
    first = _Counting(calls)
    with pytest.raises(KeyboardInterrupt):
        _fill(tmp_path / "store", first)
    with pytest.raises(DataError, match="No soft labels in"):
        open_store(tmp_path / "store")
    second, done = _Counting(), []
    store = _fill(tmp_path / "store", second, advance=done.append)
    assert first.images == 7 * calls and second.images == 60 - first.images and sum(done) == 60
    np.testing.assert_array_equal(store.logits, _expected().astype(np.float16))
    assert store.rounding_error == _fill(tmp_path / "unbroken").rounding_error


def test_a_pass_killed_before_its_record_is_written_is_not_made_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(
            soft_label_pass.json, "dumps", _Interrupting(json.dumps, '"rounding_error"', after=10)
        )
        _fill(tmp_path / "store")
    assert (tmp_path / "store" / "logits.npy").exists() and not (
        tmp_path / "store" / "store.json"
    ).exists()
    teacher = _Counting()
    np.testing.assert_array_equal(
        _fill(tmp_path / "store", teacher).logits, _expected().astype(np.float16)
    )
    assert teacher.images == 0
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"logits.npy", "store.json"}


class _Interrupting:
    def __init__(self, function, mark, after):
        self.function, self.mark, self.left = function, mark, after

    def __call__(self, *args, **kwargs):
        text = self.function(*args, **kwargs)
        self.left -= self.mark in text
        if self.left == 0:
            raise KeyboardInterrupt
        return text


@pytest.mark.parametrize("damage", ["other key", "cut short", "no progress"])
def test_what_cannot_be_gone_on_with_is_made_again(damage, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _fill(
            tmp_path / "store",
            _Counting(3),
            dataclasses.replace(KEY, teacher="other") if "key" in damage else KEY,
        )
    if damage == "cut short":
        with (tmp_path / "store" / "logits.npy.partial").open("r+b") as file:
            file.truncate(200)
    if damage == "no progress":
        (tmp_path / "store" / "progress.json").write_text("{")
    teacher = _Counting()
    store = _fill(tmp_path / "store", teacher)
    assert teacher.images == 60
    np.testing.assert_array_equal(store.logits, _expected().astype(np.float16))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("teacher", "others", "teacher (weights in the store, others here)"),
        ("images", "others", "images ("),
        ("views", ("identity",), "views (identity, mirror in the store, identity here)"),
        (
            "class_names",
            ("happy", "angry", "sad"),
            "class_names (angry, happy, sad in the store, happy, angry, sad here)",
        ),
    ],
)
def test_a_store_of_something_else_is_refused_by_what_differs(field, value, told, tmp_path):
    _fill(tmp_path / "store")
    wanted = dataclasses.replace(KEY, **{field: value})
    for use in (
        lambda: open_store(tmp_path / "store", wanted),
        lambda: _fill(tmp_path / "store", key=wanted),
    ):
        with pytest.raises(DataError) as caught:
            use()
        message = str(caught.value)
        assert told in message and "\n" not in message
        assert not any(
            f"{other} (" in message for other in dataclasses.asdict(KEY) if other != field
        )
    assert wanted.short != KEY.short


def test_a_store_is_used_where_its_teacher_is_not(tmp_path):
    _fill(tmp_path / "store")
    assert open_store(tmp_path / "store", dataclasses.replace(KEY, teacher="")).key == KEY


def test_image_fingerprints_tell_order_and_pixels():
    changed = IMAGES.copy()
    changed[3, 2, 2] += 1
    prints = {
        image_fingerprint(images)
        for images in (IMAGES, IMAGES[::-1], changed, IMAGES.reshape(30, 6, 3, 2))
    }
    assert len(prints) == 4 and image_fingerprint(IMAGES.copy()) in prints


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("store.json", b"{"),
        ("store.json", b"[]"),
        ("store.json", b'{"key": {}, "rounding_error": 0}'),
        ("store.json", b"\xff\xfe"),
        ("logits.npy", b""),
        ("logits.npy", b"no array"),
        ("logits.npy", "first half"),
    ],
)
def test_damaged_stores_are_refused(name, content, tmp_path):
    _fill(tmp_path / "store")
    path = tmp_path / "store" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "first half" else content)
    with pytest.raises(DataError, match="delete the folder and make them again"):
        open_store(tmp_path / "store", KEY)


def test_logits_of_another_form_are_refused(tmp_path):
    _fill(tmp_path / "store")
    np.save(tmp_path / "store" / "logits.npy", np.zeros((30, 2, 3), np.float32))
    with pytest.raises(DataError, match=r"float32 \(30, 2, 3\), expected float16 \(images, 2, 3\)"):
        open_store(tmp_path / "store")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 70000.0])
def test_logits_that_fit_no_float16_are_refused(bad, tmp_path):
    def teacher(pixels):
        logits = _teacher(pixels)
        logits[2, 1] = bad
        return logits

    with pytest.raises(
        DataError, match="not finite or beyond 65504: check its weights and --teacher-range"
    ):
        _fill(tmp_path / "store", teacher)
    assert not (tmp_path / "store" / "logits.npy").exists()


@pytest.mark.parametrize(
    ("teacher", "told"),
    [
        (
            lambda pixels: np.full((len(pixels), 3), 0.1, np.float32),
            "gives the same output for all",
        ),
        (lambda pixels: _teacher(pixels) + np.float32([99, 0, 0]), "answers angry for all"),
    ],
)
def test_a_teacher_that_answers_the_same_is_told_and_its_rounding_no_difference(
    teacher, told, tmp_path
):
    store = _fill(tmp_path / "store", teacher)
    said = soft_labels.remark(store)
    assert said and told in said and "check its weights and --teacher-range" in said
    assert verify(store, IMAGES, VIEWS, teacher, 60) <= 0.05


def test_a_teacher_whose_answers_differ_is_not_remarked_on(tmp_path):
    assert soft_labels.remark(_fill(tmp_path / "store")) is None


def test_a_teacher_of_other_classes_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"logits of shape \(7, 2\): expected \(7, 3\)"):
        _fill(tmp_path / "store", lambda pixels: _teacher(pixels)[:, :2])


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(OutputError, match=f"Can't write {folder}: part of the path is a file"):
            _fill(folder)


def test_verification_finds_what_was_changed(tmp_path):
    store = _fill(tmp_path / "store")
    spread = _expected().astype(np.float16).astype(float).std()
    exact = np.abs(_expected() - _expected().astype(np.float16)).max() / spread
    assert verify(store, IMAGES, VIEWS, _teacher, 60) == pytest.approx(exact, rel=1e-3)
    assert verify(store, IMAGES, VIEWS, _teacher, 1000) == pytest.approx(exact, rel=1e-3)
    logits = np.array(store.logits)
    logits[17, 1, 2] += np.float16(0.2 * spread)
    np.save(tmp_path / "store" / "logits.npy", logits)
    tampered = open_store(tmp_path / "store", KEY)
    with pytest.raises(
        DataError, match="The soft labels differ from the teacher by 0.(19|2).* on 60 random views"
    ):
        verify(tampered, IMAGES, VIEWS, _teacher, 60)


def test_verification_asks_for_as_many_views_as_it_says(tmp_path):
    store, teacher = _fill(tmp_path / "store"), _Counting()
    verify(store, IMAGES, VIEWS, teacher, 11)
    assert teacher.images == 11
    # Another teacher fails on any choice of views, one that gives NaN included.
    for other in (lambda pixels: -_teacher(pixels), lambda pixels: _teacher(pixels) * np.nan):
        with pytest.raises(DataError, match="on 5 random views"):
            verify(store, IMAGES, VIEWS, other, 5, seed=1)


def test_stores_of_before_values_were_known_still_open(tmp_path):
    folder = tmp_path / "store"
    images = np.zeros((4, 8, 8, 1), np.uint8)
    views = Views("none", 4)
    key = soft_labels.Key("t", soft_labels.image_fingerprint(images), views.names, ("a", "b"))
    soft_label_pass.fill(
        folder, key, images, views, lambda pixels: np.ones((len(pixels), 2), np.float32)
    )
    record = json.loads((folder / "store.json").read_text())
    del record["key"]["values"]
    (folder / "store.json").write_text(json.dumps(record))
    assert soft_labels.open_store(folder, key).key == key


def test_values_are_verified_by_their_own_spread(tmp_path):
    """A valence that is off by a tenth of its range is nothing beside logits of ten times its
    spread.
    """
    images = np.zeros((40, 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(40)
    views = Views("none", 40)
    key = soft_labels.Key(
        "t", soft_labels.image_fingerprint(images), views.names, ("a", "b"), ("valence",)
    )

    def teacher(pixels, off=0.0):
        x = pixels[:, 0, 0, 0].astype(np.float32)
        return np.stack([x, -x, x / 40 + off], axis=1)

    store = soft_label_pass.fill(tmp_path / "store", key, images, views, teacher)
    assert soft_labels.verify(store, images, views, teacher, 40) < 0.01
    with pytest.raises(DataError, match="differ from the teacher by"):
        soft_labels.verify(store, images, views, lambda pixels: teacher(pixels, 0.1), 40)


def test_one_value_alone_is_verified_by_the_spread_of_all(tmp_path):
    images = np.zeros((5, 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(5)
    views = Views("none", 5)
    key = soft_labels.Key("t", soft_labels.image_fingerprint(images), views.names, (), ("valence",))

    def teacher(pixels):
        return np.cos(pixels[:, 0, 0, :1].astype(np.float32))

    store = soft_label_pass.fill(tmp_path / "store", key, images, views, teacher)
    assert soft_labels.verify(store, images, views, teacher, 1) < 0.01
