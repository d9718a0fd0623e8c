"""AffectNet's two forms on disk, drawn here; the crop and the cleaning rule by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_kd import datasets
from keras_kd._common import arrays
from keras_kd.datasets.readers import _affectnet
from keras_kd.errors import DataError

NAMES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
# A place on the circumplex that fits each expression, and one that doesn't.
FITS = (
    (0.1, 0.1),
    (0.6, 0.1),
    (-0.5, -0.4),
    (0.1, 0.7),
    (-0.3, 0.6),
    (-0.6, 0.2),
    (-0.4, 0.5),
    (-0.5, 0.2),
)
MISFITS = (
    (0.5, 0.5),
    (-0.6, 0.1),
    (0.5, -0.4),
    (0.1, -0.7),
    (0.3, 0.6),
    (-0.2, 0.1),
    (-0.4, -0.5),
    (0.5, 0.2),
)


def _picture(path: Path, number: int) -> None:
    """A white square from (30, 40) to (70, 80) on a colour that tells the number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((120, 100, 3), (number, 60, 200), np.uint8)
    pixels[40:80, 30:70] = 255
    Image.fromarray(pixels).save(path.with_suffix(".png"))
    path.with_suffix(".png").rename(path)


def _landmarks(box: tuple[float, float, float, float] = (30, 40, 70, 80)) -> np.ndarray:
    points = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    points[0], points[1] = 0, 1
    return np.array(box[:2]) + points * (np.array(box[2:]) - np.array(box[:2]))


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    number = 0
    for folder, each in (("train_set", 20), ("val_set", 2)):
        (tmp_path / folder / "annotations").mkdir(parents=True)
        for label in range(8):
            for copy in range(each):
                _picture(tmp_path / folder / "images" / f"{number}.jpg", number)
                valence, arousal = FITS[label] if copy % 2 == 0 else MISFITS[label]
                parts = {
                    "exp": str(label),
                    "val": str(valence),
                    "aro": str(arousal),
                    "lnd": _landmarks(),
                }
                for part, value in parts.items():
                    np.save(
                        tmp_path / folder / "annotations" / f"{number}_{part}.npy", np.array(value)
                    )
                number += 1
    return tmp_path


def test_the_annotated_form(annotated: Path) -> None:
    module, _ = datasets.find(annotated)
    assert module.__name__.endswith(".affectnet")
    splits = {split: datasets.load(annotated, split, size=48) for split in datasets.SPLITS}
    assert {split: len(samples) for split, samples in splits.items()} == {
        "train": 152,
        "validation": 8,
        "test": 16,
    }
    test = splits["test"]
    assert test.class_names == NAMES and test.label_name == "expression"
    assert test.images.shape == (16, 48, 48, 3) and test.images.dtype == np.uint8
    # Files count as text does, "160" to "175": two of each class.
    assert test.labels.tolist() == np.repeat(np.arange(8), 2).tolist()
    assert test.values["valence"][4:6].tolist() == pytest.approx([FITS[2][0], MISFITS[2][0]])
    assert test.values["arousal"][4:6].tolist() == pytest.approx([FITS[2][1], MISFITS[2][1]])
    assert set(map(int, splits["train"].images[:, 0, 0, 0])).isdisjoint(
        map(int, splits["validation"].images[:, 0, 0, 0])
    )


def test_the_crop_is_emonets(annotated: Path) -> None:
    """Side (40 + 40)·200/220 = 72.7 around (50, 60): the white square of side 40 fills 40/72.7 of
    the picture.
    """
    assert _affectnet.face_square(_landmarks()) == pytest.approx(
        (50 - 400 / 11, 60 - 400 / 11, 50 + 400 / 11, 60 + 400 / 11)
    )
    picture = datasets.load(annotated, "test", size=110).images[0].min(axis=2)
    inside = np.flatnonzero((picture > 250).any(axis=0))
    assert np.ptp(inside) + 1 == pytest.approx(110 * 40 / 72.7, abs=3)
    assert inside.mean() == pytest.approx(54.5, abs=1.5)


def test_what_lies_outside_of_the_picture_is_black(annotated: Path) -> None:
    file = annotated / "val_set" / "annotations" / "160_lnd.npy"
    np.save(file, _landmarks((60, 40, 100, 80)))
    picture = datasets.load(annotated, "test", size=64).images[0]
    assert not picture[:, -8:].any() and picture[:, :8].any()


def test_the_cleaning_rule_keeps_what_fits(annotated: Path) -> None:
    clean = datasets.load(f"affectnet_clean:{annotated}", "test", size=16)
    assert clean.labels.tolist() == list(range(8))
    assert clean.values["valence"].tolist() == pytest.approx([valence for valence, _ in FITS])


def test_unknown_values_are_nan_and_no_expressions_are_left_out(annotated: Path) -> None:
    folder = annotated / "val_set" / "annotations"
    np.save(folder / "160_val.npy", np.array("-2"))
    np.save(folder / "161_exp.npy", np.array("9"))
    (folder / "._160_exp.npy").write_bytes(b"\x00\x05\x16\x07")  # a Mac's
    test = datasets.load(annotated, "test", size=16)
    assert (
        len(test) == 15
        and np.isnan(test.values["valence"][0])
        and not np.isnan(test.values["arousal"]).any()
    )
    assert len(datasets.load(f"affectnet_clean:{annotated}", "test", size=16)) == 7


def _table(folder: Path, name: str, rows: list[str]) -> None:
    box = "face_x,face_y,face_width,face_height"
    header = f"subDirectory_filePath,{box},facial_landmarks,expression,valence,arousal"
    (folder / name).write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    points = ";".join(f"{number:.2f}" for number in _landmarks().ravel())
    for name, each in (("training.csv", 20), ("validation.csv", 1)):
        rows = []
        for label in range(8):
            for copy in range(each):
                image = f"{name[:2]}/{label}-{copy}.jpg"
                _picture(tmp_path / "Manually_Annotated_Images" / image, 10 * label)
                rows.append(f"{image},0,0,9,9,{points},{label},{FITS[label][0]},{FITS[label][1]}")
        _table(tmp_path, name, [*rows, f"{image},0,0,9,9,{points},10,-2,-2"])
    return tmp_path


def test_the_csv_form(tables: Path) -> None:
    test = datasets.load(tables, "test", size=16)
    assert test.labels.tolist() == list(range(8)) and test.sizes.tolist() == [[120, 100]] * 8
    assert test.values["arousal"].tolist() == pytest.approx([arousal for _, arousal in FITS])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("va/0-0.jpg,0,0,9,9,,12,0,0", "the expression is 12, expected 0 to 10"),
        ("va/0-0.jpg,0,0,9,9,,1,3,0", "the valence is 3, expected -1 to 1, or -2 where unknown"),
        ("va/0-0.jpg,0,0,9,9,1;2;3,1,0,0", "3 numbers of landmarks, expected 68 times x and y"),
        ("va/none.jpg,0,0,9,9,,1,0,0", "there is no image"),
        ("../../secret.jpg,0,0,9,9,,1,0,0", "lies outside of"),
        ("va/0-0.jpg,0,0,9,9,,one,0,0", "could not convert string to float"),
    ],
)
def test_bad_rows_are_named(tables: Path, row: str, message: str) -> None:
    table = tables / "validation.csv"
    lines = len(table.read_text().splitlines())
    table.write_text(table.read_text() + row + "\n")
    with pytest.raises(DataError) as caught:
        datasets.load(tables, "test", size=16)
    assert f"{table}, line {lines + 1}: " in str(caught.value) and message in str(caught.value)
    samples = datasets.load(tables, "test", skip_bad_rows=True, size=16)
    assert len(samples) == 8 and len(samples.skipped) == 1 and message in samples.skipped[0]


def test_unreadable_pictures_are_left_out_and_the_others_move_up(tables: Path) -> None:
    (tables / "Manually_Annotated_Images" / "va" / "2-0.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="2-0.jpg can't be read as an image"):
        datasets.load(tables, "test", size=16)
    samples = datasets.load(tables, "test", skip_bad_rows=True, size=16)
    assert samples.labels.tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert samples.images[:, 0, 0, 0].tolist() == pytest.approx([0, 10, 30, 40, 50, 60, 70], abs=2)
    assert len(samples.values["valence"]) == 7 and "2-0.jpg" in samples.skipped[0]


def test_large_sets_are_mapped_into_memory(
    annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = datasets.load(annotated, "test", size=16)
    monkeypatch.setattr(arrays, "LARGEST_IN_MEMORY", 100)
    large = datasets.load(annotated, "test", size=16)
    assert isinstance(large.images, np.memmap)
    np.testing.assert_array_equal(large.images, small.images)


def test_pickles_in_annotations_are_not_run(annotated: Path) -> None:
    np.save(annotated / "val_set" / "annotations" / "160_val.npy", np.array({"a": 1}, dtype=object))
    with pytest.raises(DataError, match="160_exp.npy: .*Python objects"):
        datasets.load(annotated, "test", size=16)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="affectnet needs a path"):
        datasets.load("affectnet", "test")
    (tmp_path / "train_set" / "annotations").mkdir(parents=True)
    with pytest.raises(
        DataError, match="has no test split: expected val_set or val or validation with images"
    ):
        datasets.load(tmp_path, "test")
