from __future__ import annotations

import json

import numpy as np
from PIL import Image

from keras_kd.datasets.inspection import inspect
from keras_kd.datasets.readers import rafdb

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 12, 16), np.uint8)


def write_folders(root, layout, blank=()):
    """`layout` maps a folder to the numbers of the images in it; `blank` numbers are flat gray."""
    for folder, numbers in layout.items():
        (root / folder).mkdir(parents=True)
        for place, number in enumerate(numbers):
            image = np.full((12, 16), number, np.uint8) if number in blank else IMAGES[number]
            Image.fromarray(image).save(root / folder / f"{place}.png")


def test_a_report_tells_what_is_wrong(tmp_path):
    write_folders(
        tmp_path,
        {
            "train/cat": [0, 1, 1, 1, 2],
            "train/dog": [3, 4, 5, 2],
            "val/cat": [6, 0],
            "val/dog": [7],
            "test/cat": [8, 3],
            "test/dog": [9, 4, 4, 7],
        },
        blank=(9,),
    )
    Image.fromarray(IMAGES[10].T).save(tmp_path / "test/dog/tall.png")
    report = inspect(tmp_path)
    assert json.loads(json.dumps(report)) == {
        "data": str(tmp_path),
        "data_set": "folder",
        "class_names": ["cat", "dog"],
        "channels": 1,
        "soft_labels": False,
        "sizes": {"16x12": 18, "12x16": 1},
        "splits": {
            # Images 1 (twice more) and 2 (once more) stand again in train.
            "train": {"images": 9, "classes": {"cat": 5, "dog": 4}, "blank": 0, "copies": 3},
            "validation": {"images": 3, "classes": {"cat": 2, "dog": 1}, "blank": 0, "copies": 0},
            "test": {"images": 7, "classes": {"cat": 2, "dog": 5}, "blank": 1, "copies": 1},
        },
        "copies_across": {"validation of train": 1, "test of train": 3, "test of validation": 1},
        "near_copies_across": dict.fromkeys(
            ("validation of train", "test of train", "test of validation"), 0
        ),
        # Image 2 is cat and dog within train, image 3 dog in train and cat in test.
        "contradictions": {"groups": 2, "images": 4},
        "published": None,
        "traits": {},
        "passed_over": [],
        "skipped": [],
    }


def test_scored_images_that_were_compressed_anew_are_near_copies(tmp_path):
    """Numbers of pixels in another file say nothing of what it shows."""
    for number, image in enumerate(IMAGES[:16]):
        picture = Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC)
        for split, quality in (("train", 95), ("test", 60)):
            shown = number < 10 or split == "test"
            folder = tmp_path / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{number}.jpg", quality=quality) if shown else None
    report = inspect(tmp_path)
    assert not any(report["copies_across"].values())
    # One image of each class is held out for validation.
    assert report["near_copies_across"] == {
        "validation of train": 0,
        "test of train": 8,
        "test of validation": 2,
    }


def test_skipped_files_are_listed(tmp_path):
    write_folders(
        tmp_path, {f"{split}/{name}": [0, 1] for split in ("train", "val", "test") for name in "ab"}
    )
    (tmp_path / "val/b/1.png").write_bytes(b"")
    report = inspect(tmp_path, skip_bad_rows=True)
    assert report["splits"]["validation"]["images"] == 3
    assert len(report["skipped"]) == 1
    assert "val/b/1.png" in report["skipped"][0]


def test_counts_are_compared_with_the_published_ones(tmp_path, monkeypatch):
    layout = {
        f"DATASET/{half}/{label}": [0, 1, 2, 3]
        for half in ("train", "test")
        for label in range(1, 8)
    }
    write_folders(tmp_path, layout)
    for file in tmp_path.glob("DATASET/train/*/*.png"):
        file.rename(file.with_name(f"train_{file.name}"))
    report = inspect(tmp_path)
    assert report["published"]["equal"] is False
    # Validation is held out of the published train split, so the two count together.
    assert "train surprise: 4 images, published are 1290" in report["published"]["differences"]
    assert "test neutral: 4 images, published are 680" in report["published"]["differences"]
    assert len(report["published"]["differences"]) == 14
    monkeypatch.setattr(rafdb, "COUNTS", {"train": (4,) * 7, "test": (4,) * 7})
    assert inspect(tmp_path)["published"] == {"equal": True, "differences": []}


def test_pictures_of_one_colour_are_blank_and_no_near_copies_of_each_other(tmp_path):
    """Their perceptual hashes are all the same."""
    for number, place in enumerate(("train/a", "train/b", "val/a", "val/b", "test/a", "test/b")):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (8, 8), (200 - 30 * number, 90, 30)).save(tmp_path / place / "0.png")
    report = inspect(tmp_path)
    assert [split["blank"] for split in report["splits"].values()] == [2, 2, 2]
    assert not any(report["copies_across"].values())
    assert not any(report["near_copies_across"].values())


def test_soft_labels_count_by_the_most_votes(tmp_path):
    names = "Usage,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    votes = [f"{usage},1,5,0,0,4,0,0,0,0,0" for usage in ("Training", "PublicTest", "PrivateTest")]
    pixels = [f"0,{' '.join(['3'] * 2304)},{row.partition(',')[0]}" for row in votes]
    (tmp_path / "votes.csv").write_text("\n".join([names, *votes]))
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *pixels]))
    report = inspect(tmp_path)
    assert report["soft_labels"] is True
    assert report["splits"]["test"]["classes"]["happiness"] == 1
    assert report["splits"]["test"]["blank"] == 1
    assert report["copies_across"] == {
        "validation of train": 1,
        "test of train": 1,
        "test of validation": 1,
    }


def test_the_real_fer2013_is_described_rightly(real_fer2013):
    report = inspect(real_fer2013 / "fer2013.csv")
    assert report["published"] == {"equal": True, "differences": []}
    assert report["copies_across"]["validation of train"] == 280
    assert report["copies_across"]["test of train"] == 288
    assert report["sizes"] == {"48x48": 35_887}
