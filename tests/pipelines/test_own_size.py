"""Every model sees the pictures at its own size, cut from the original pixels, in every command."""

import json

import keras
import numpy as np
import pytest
from command_line import called
from keras import layers
from PIL import Image

from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets import splits
from keras_kd.errors import ConfigError
from keras_kd.pipelines import plan, teacher_setup
from keras_kd.pipelines.supervision import student_job
from keras_kd.teachers.views import Views

# Stripes one pixel wide, which any other size loses, and their mean.
CLASSES = ("columns", "flat", "rows")
HEIGHT, WIDTH = 96, 64


def _picture(kind: str, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    dark, bright = int(random.integers(0, 60)), int(random.integers(196, 255))
    picture = np.full((HEIGHT, WIDTH), (dark + bright) // 2, np.uint8)
    if kind != "flat":
        striped = picture if kind == "rows" else picture.T
        striped[::2], striped[1::2] = dark, bright
    return picture


def _teller(height: int, width: int) -> keras.Model:
    """A model that tells rows from columns by the mean difference of neighbours; nothing is
    learnt.
    """
    kernel = np.zeros((2, 2, 1, 4), np.float32)
    for number, sign in enumerate((1, -1)):
        kernel[0, 0, 0, number], kernel[1, 0, 0, number] = sign, -sign
        kernel[0, 0, 0, 2 + number], kernel[0, 1, 0, 2 + number] = sign, -sign
    image = keras.Input((height, width, 1))
    differences, classes = layers.Conv2D(4, 2, activation="relu"), layers.Dense(3)
    x = differences(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, classes(layers.GlobalAveragePooling2D()(x)))
    differences.set_weights([kernel, np.zeros(4)])
    rows, columns = [0, 0, 20], [20, 0, 0]
    classes.set_weights([np.array([rows, rows, columns, columns]), np.array([0, 7, 0])])
    return model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with data of 96x64 and models of 96x64 and 40x40."""
    folder = tmp_path_factory.mktemp("own_size")
    for split, first in (("train", 0), ("val", 100), ("test", 200)):
        for kind in CLASSES:
            (folder / "data" / split / kind).mkdir(parents=True)
            for number in range(4):
                picture = Image.fromarray(_picture(kind, first + number))
                picture.save(folder / "data" / split / kind / f"{number}.png")
    for height, width in ((HEIGHT, WIDTH), (40, 40)):
        _teller(height, width).save(folder / f"{height}x{width}.keras")
    return folder


def _planned(made, *names: str, **options: object) -> tuple[splits.Data, plan.Plan]:
    files = ";".join(str(made / f"{name}.keras") for name in names)
    planned = plan.resolve(Config(data=str(made / "data"), teacher=files, student="C", **options))
    return splits.load(planned.data.path, size=options.get("image_size")), planned


def _prepared(made, *names: str, **options: object) -> teacher_setup.Supervision:
    data, planned = _planned(made, *names, **options)
    return teacher_setup.prepare(planned, data, Terminal(quiet=True))


SAID = ("--range", "0,255", "--classes", ",".join(CLASSES))


def test_a_model_of_oblong_images_is_scored_at_its_own_height_and_width(made, capsys):
    model, data = str(made / "96x64.keras"), str(made / "data")
    assert called("evaluate", model, "--data", data, *SAID, "--json") == 0
    assert json.loads(capsys.readouterr().out)["test"]["accuracy"] == 1


@pytest.mark.slow
def test_a_model_of_oblong_images_is_right_in_every_form(made, tmp_path, capsys):
    model, data = str(made / "96x64.keras"), ("--data", str(made / "data"))
    file = str(tmp_path / "int8.tflite")
    assert called("export", model, *data, *SAID, "--format", "int8", "--out", file) == 0
    capsys.readouterr()
    assert called("evaluate", file, *data, "--json") == 0
    assert json.loads(capsys.readouterr().out)["test"]["accuracy"] == 1
    app = ("--bundle", "--app-input", "96x64x1", "--out", str(tmp_path / "bundle"))
    assert called("export", model, *data, *SAID, *app, "--json") == 0
    assert json.loads(capsys.readouterr().out)["test"]["accuracy"] == 1
    # Without a statement the pixels are compared, of a file that is converted first, too.
    assert called("bench", model, file, *data, "--seconds", "0.02", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["accuracy"] for row in rows] == [1, 1]


def test_an_oblong_teacher_is_shown_its_own_height_and_width(made, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    supervision = _prepared(made, "96x64", augment="none")
    answers = supervision.soft_labels.logits[:, 0].argmax(axis=1)
    np.testing.assert_array_equal(answers, np.repeat([0, 1, 2], 4))


def test_a_live_teacher_is_shown_its_own_height_and_width(made, tmp_path):
    names = ("96x64", "96x64")
    data, planned = _planned(made, *names, augment="none", image_size=32, live_teacher=True)
    supervision = teacher_setup.prepare(planned, data, Terminal(quiet=True))
    student = student_job(planned, data, supervision, tmp_path)
    batch = Views("none", 12).show(student.teacher_images, np.arange(12), np.zeros(12, int))
    answers = student.teacher_logits(batch).argmax(axis=1)
    # In 32x32 all stripes are gray.
    np.testing.assert_array_equal(answers, np.repeat([0, 1, 2], 4))


def test_layers_are_not_matched_with_thumbnails(made):
    with pytest.raises(ConfigError, match="takes 96x64: leave --match or --live-teacher out, or"):
        _prepared(made, "96x64", match="conv8:conv8:hint")


def test_each_of_several_teachers_is_shown_the_original_pixels_at_its_own_size(
    made, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    supervision = _prepared(made, "96x64", "40x40", augment="mirror", teacher_mirror=True)
    expected = []
    for file in sorted((made / "data" / "train").glob("*/*.png")):
        logits = []
        for height, width in ((96, 64), (40, 40)):
            shown = np.asarray(
                Image.open(file).resize((width, height), Image.Resampling.BILINEAR), float
            )
            both = np.stack([shown, shown[:, ::-1]])[..., None]
            logits += [*keras.ops.convert_to_numpy(_teller(height, width)(both))]
        expected.append(np.mean(logits, axis=0))
    for view in range(2):
        np.testing.assert_allclose(supervision.soft_labels.logits[:, view], expected, atol=0.03)
    found = supervision.teacher.predict("train").logits
    np.testing.assert_allclose(found, expected, atol=0.03)
