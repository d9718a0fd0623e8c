from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_kd import datasets
from keras_kd.datasets import Samples, readers
from keras_kd.errors import DataError

FER2013_ROWS = "emotion,pixels,Usage\n" + "".join(
    f"0,{' '.join(['1'] * 2304)},{usage}\n" for usage in ("Training", "PublicTest", "PrivateTest")
)
VOTES = (
    "Usage,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    + "".join(
        f"{usage},9,1,0,0,0,0,0,0,0,0\n" for usage in ("Training", "PublicTest", "PrivateTest")
    )
)


def write_images(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(root / name)
    return root


def fer2013(root):
    (root / "anything.csv").write_text(FER2013_ROWS)
    return root / "anything.csv"


def fer2013_folders(root):
    return write_images(
        root,
        [
            "train/happy/Training_1.png",
            "test/happy/PublicTest_1.png",
            "test/happy/PrivateTest_1.png",
        ],
    )


def ferplus(root):
    (root / "fer2013.csv").write_text(FER2013_ROWS)
    (root / "fer2013new.csv").write_text(VOTES)
    return root


def rafdb(root):
    names = [f"train_{number:05d}" for number in range(14)] + [
        f"test_{number:05d}" for number in range(7)
    ]
    write_images(root / "Image" / "aligned", [f"{name}_aligned.png" for name in names])
    lines = [f"{name}.png {number % 7 + 1}\n" for number, name in enumerate(names)]
    (root / "list_patition_label.txt").write_text("".join(lines))
    return root


def rafdb_folders(root):
    names = [
        f"{half}/{label}/{half}_{n}.png"
        for half in ("train", "test")
        for label in range(1, 8)
        for n in range(2)
    ]
    return write_images(root / "DATASET", names)


def folder(root):
    return write_images(
        root, [f"{name}/{number}.png" for name in ("owl", "wren") for number in range(3)]
    )


FORMS = (fer2013, fer2013_folders, ferplus, rafdb, rafdb_folders, folder)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_recognised_and_keeps_the_contract(tmp_path, form):
    path = form(tmp_path)
    module, found = datasets.find(path)
    name = form.__name__.removesuffix("_folders")
    assert (module.__name__, found) == (f"keras_kd.datasets.readers.{name}", path)
    assert datasets.find(f"{name}:{path}") == (module, path)
    for split in datasets.SPLITS:
        samples = datasets.load(path, split)
        assert samples.images.dtype == np.uint8
        assert samples.images.shape in [(len(samples), 64, 64, 1), (len(samples), 64, 64, 3)]
        assert len(samples.labels) == len(samples.sizes) == len(samples) > 0
        assert samples.hard_labels.max() < len(samples.class_names)
        assert samples.labels.dtype == (np.float32 if samples.labels.ndim == 2 else np.int64)
        assert samples.skipped == ()


@pytest.mark.parametrize("name", datasets.names())
def test_every_module_says_what_it_reads(name):
    module, _ = datasets.find(name)
    summary = datasets.summaries()[name]
    assert summary.endswith(".") and len(summary) <= 200
    assert summary in " ".join(module.__doc__.split())
    assert callable(module.matches)
    assert callable(module.load)


def test_names_are_the_modules():
    files = Path(readers.__file__).parent.glob("[!_]*.py")
    assert {file.stem for file in files} <= set(datasets.names()) == set(datasets.summaries())
    assert {"faces", "fer2013", "folder"} <= set(datasets.names())


@pytest.mark.parametrize("name", ["none.csv", "fer2013:none.csv", "imagenet"])
def test_missing_data_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=rf"No data at {name.removeprefix('fer2013:')}: give .*faces, fer2013"
    ) as caught:
        datasets.load(name, "train")
    assert str(caught.value).endswith(
        f"a relative path, also of a configuration, counts from the working folder, {tmp_path}."
    )
    with pytest.raises(DataError) as caught:
        datasets.load(tmp_path / "none.csv", "train")
    assert "working folder" not in str(caught.value)
    with pytest.raises(DataError, match=f"called foldr: did you mean folder:{tmp_path}.$"):
        datasets.load(f"foldr:{tmp_path}", "train")
    with pytest.raises(DataError, match="double quotes of a configuration"):
        datasets.load("C:\fotos\new", "train")


@pytest.mark.parametrize("name", ["fer2013", "ferplus", "folder", "parquet", "rafdb"])
def test_a_name_without_its_path_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"{name} needs a path: give {name}:PATH"):
        datasets.load(name, "train")


def test_an_unknown_form_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError, match="has none of the known forms"):
            datasets.load(path, "train")


def test_an_unknown_split_is_refused():
    with pytest.raises(
        DataError, match="Unknown split 'private': expected one of train, validation, test"
    ):
        datasets.load("faces", "private")


def test_what_the_operating_system_refuses_is_told():
    # Python 3.14 takes a name that is too long for one that does not exist.
    with pytest.raises(DataError, match=r"can't be read \(File name too long\)|No data at"):
        datasets.load("x" * 5000, "train")


def test_rows_of_samples_are_chosen_together():
    samples = Samples(
        images=np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1),
        labels=np.array([3, 2, 1, 0]),
        class_names=("a", "b", "c", "d"),
        values={"valence": np.array([0.0, 0.1, 0.2, 0.3], np.float32)},
        sizes=np.array([[1, 2], [3, 4], [5, 6], [7, 8]]),
    )
    chosen = samples[np.array([True, False, False, True])]
    assert chosen.images.ravel().tolist() == [0, 3]
    assert chosen.labels.tolist() == [3, 0]
    assert chosen.values["valence"].tolist() == [0.0, np.float32(0.3)]
    assert chosen.sizes.tolist() == [[1, 2], [7, 8]]
    assert chosen.class_names == samples.class_names


def test_soft_labels_have_hard_ones():
    labels = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    samples = Samples(np.zeros((2, 1, 1, 1), np.uint8), labels, ("a", "b"))
    assert samples.hard_labels.tolist() == [1, 0]


def test_data_sets_do_without_keras():
    code = (
        "import sys; from keras_kd import datasets; from keras_kd.datasets import inspection;"
        "[datasets.find(name) for name in datasets.names()];"
        "print(sorted({'keras', 'tensorflow', 'pandas'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_folder_called_like_the_drawn_faces_is_no_guess(tmp_path, monkeypatch):
    folder(tmp_path / "faces")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError,
        match="faces names the drawn faces, but a file or folder here .*: write ./faces",
    ):
        datasets.find("faces")
    for path in ("./faces", Path("faces")):
        assert datasets.find(path)[1] == Path("faces")
