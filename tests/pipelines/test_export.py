"""`kerakd export` where it chooses or trains: --tune, --format qat, and classes in another order
than the data's.
"""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import called
from keras import layers
from PIL import Image

from keras_kd import datasets
from keras_kd._common.progress import Terminal
from keras_kd.errors import ModelError
from keras_kd.models import keras_file
from keras_kd.models.surgery.divided_logits import with_divided_logits
from keras_kd.pipelines import conversion
from keras_kd.pipelines.export_settings import ExportSettings, resolved
from keras_kd.runtimes import predictors
from keras_kd.teachers import soft_label_pass, soft_labels
from keras_kd.teachers.views import Views

# The folders' order is alphabetical: bright, dark.
CLASSES = ("dark", "bright")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for name, level in (("bright", 160), ("dark", 90)):
        (root / name).mkdir()
        for number in range(60):
            pixels = level + random.integers(-60, 61, (64, 64))
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """Knows the classes by its weights: the mean brightness of what passes two convolutions."""
    image = keras.Input((64, 64, 1))
    x = layers.Rescaling(1 / 128, -1)(image)
    x = layers.Conv2D(24, 3, strides=4, name="first")(x)
    x = layers.Conv2D(24, 3, strides=2, name="second")(x)
    model = keras.Model(image, layers.Dense(2, name="last")(layers.GlobalAveragePooling2D()(x)))
    random = np.random.default_rng(1)
    for name in ("first", "second"):
        kernel, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights(
            [random.uniform(0, 2 / kernel[..., 0].size, kernel.shape), bias]
        )
    model.get_layer("last").set_weights([np.tile([-0.4, 0.4], (24, 1)), np.zeros(2)])
    path = tmp_path_factory.mktemp("model") / "student.keras"
    keras_file.save(model, path, keras_file.ModelSpec(CLASSES, input_shape=(64, 64, 1)))
    return path


@pytest.fixture(scope="module")
def store(data, tmp_path_factory):
    """Soft labels in the data's order, sure and right, of both mirror images."""
    train = datasets.load(data, "train")
    views = Views("mirror", len(train))
    key = soft_labels.Key(
        "teacher", soft_labels.image_fingerprint(train.images), views.names, train.class_names
    )

    def teacher(pixels):
        brightness = pixels.mean(axis=(1, 2, 3))[:, None] / 64 - 2
        return np.concatenate([brightness, -brightness], axis=1) * 8

    folder = tmp_path_factory.mktemp("store")
    soft_label_pass.fill(folder, key, train.images, views, teacher)
    return folder


def _exported(capsys, *arguments):
    assert called("export", *map(str, arguments), "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_tune_says_what_it_tried_and_scores_in_the_models_order(student, data, tmp_path, capsys):
    out = tmp_path / "small.tflite"
    result = _exported(capsys, student, "--tune", "--max-drop", 0.05, "--data", data, "--out", out)
    sizes = {attempt["format"]: attempt["bytes"] for attempt in result["tried"]}
    assert set(sizes) == {"float32", "float16", "dynamic", "int8", "int16x8"}
    assert [attempt["accuracy"] for attempt in result["tried"]] == [1.0] * 5
    assert result["bytes"] == out.stat().st_size == min(sizes.values()) == sizes[result["format"]]
    assert result["test"]["accuracy"] == 1.0


def test_tune_prints_its_choice(student, data, tmp_path, capsys):
    assert (
        called(
            "export",
            str(student),
            "--tune",
            "--data",
            str(data),
            "--out",
            str(tmp_path / "x.tflite"),
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "validation accuracy %" in shown and "float16" in shown and "100.00" in shown
    assert "chosen: the smallest" in shown and "times the chosen file's size" in shown


@pytest.mark.parametrize(
    "way", [["--tune"], ["--format", "qat"], ["--format", "int8", "--calibrate"]]
)
def test_a_path_without_the_files_ending_is_refused_before_any_work(
    way, student, data, tmp_path, capsys
):
    """Finding the temperature, training and tuning take minutes, and a file of another name is
    neither scored nor read again."""
    out = str(tmp_path / "small")
    assert called("export", str(student), *way, "--data", str(data), "--out", out) == 2
    shown = capsys.readouterr()
    assert "is written to files ending in .tflite. Received: " + out in shown.err
    assert "Finding" not in shown.err + shown.out and "Training" not in shown.err + shown.out
    assert not list(tmp_path.iterdir())


def test_qat_learns_from_the_store_in_the_models_order(student, data, store, capsys):
    result = _exported(
        capsys, student, "--format", "qat", "--data", data, "--soft-labels", store,
        "--epochs", 3, "--batch-size", 16, "--alpha", 0.5, "--learning-rate", 0.003,
    )  # fmt: skip
    assert Path(result["file"]) == student.with_name("student_qat.tflite")
    assert result["test"]["accuracy"] == 1.0


def test_qat_without_soft_labels_says_so_and_makes_bundles(student, data, tmp_path, capsys):
    arguments = (
        "--format",
        "qat",
        "--data",
        data,
        "--epochs",
        1,
        "--batch-size",
        16,
        "--prune",
        0.5,
    )
    arguments += ("--bundle", "--out", tmp_path / "bundle")
    assert called("export", str(student), *map(str, arguments)) == 0
    shown = capsys.readouterr()
    assert "labels alone" in shown.err and "pruned: epoch 1/1" in shown.err
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "format qat" in card and "| 100.00 % |" in card
    told = (
        f"- Data: {data.name}; its training images set the ranges of integers, its test images give"
    )
    assert told in card and "- Not calibrated: " in card and "- Version 1.0.0, made on" in card


def test_soft_labels_of_other_images_are_refused(student, store, tmp_path, capsys):
    for name in ("bright", "dark"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(np.full((64, 64), number, np.uint8)).save(
                tmp_path / "data" / name / f"{number}.png"
            )
    arguments = ["--format", "qat", "--data", str(tmp_path / "data"), "--soft-labels", str(store)]
    assert called("export", str(student), *arguments) == 2
    assert "made for something else: images" in capsys.readouterr().err
    assert called("export", str(student), *arguments[:4], "--soft-labels", str(tmp_path)) == 2
    assert "No soft labels" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.tflite"))


def test_soft_labels_of_other_classes_than_the_models_are_refused(data, store, tmp_path, capsys):
    image = keras.Input((64, 64, 1))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(image)))
    form = keras_file.ModelSpec((*CLASSES, "dim"), input_shape=(64, 64, 1))
    keras_file.save(model, tmp_path / "m.keras", form)
    options = ("--format", "qat", "--data", data, "--soft-labels", store)
    assert called("export", *map(str, (tmp_path / "m.keras", *options))) == 2
    told = capsys.readouterr().err
    assert f"soft labels at {store} are of the classes" in told and ", dim: give those" in told


def test_calibrated_files_give_the_same_answers_with_honest_probabilities(
    student, tmp_path, capsys
):
    data = tmp_path / "data"
    random = np.random.default_rng(3)
    for name, level in (("bright", 135), ("dark", 115)):
        (data / name).mkdir(parents=True)
        for number in range(150):
            pixels = np.clip(
                level + random.normal(0, 20) + random.integers(-60, 61, (64, 64)), 0, 255
            )
            Image.fromarray(pixels.astype(np.uint8)).save(data / name / f"{number:03}.png")
    out = tmp_path / "bundle"
    result = _exported(
        capsys,
        student,
        "--format",
        "float32",
        "--data",
        data,
        "--calibrate",
        "--bundle",
        "--app-input",
        "64x64x1",
        "--out",
        out,
    )

    model, _ = keras_file.load(student)
    validation = datasets.load(data, "validation")
    logits = np.asarray(model(validation.images))[:, ::-1]  # in the data's order
    tried = np.geomspace(0.05, 20, 2000)
    scaled = logits / tried[:, None, None]
    right = scaled[:, np.arange(len(validation)), validation.labels]
    best = tried[np.mean(np.logaddexp(scaled[..., 0], scaled[..., 1]) - right, axis=1).argmin()]
    assert 1.5 < best < 10 and result["temperature"] == pytest.approx(best, rel=0.01)

    found = np.asarray(predictors.load(out / "model.tflite").logits(validation.images))[:, ::-1]
    np.testing.assert_allclose(
        found[:, 0] - found[:, 1], (logits[:, 0] - logits[:, 1]) / best, rtol=0.02, atol=1e-3
    )
    card = (out / "README.md").read_text()
    assert (
        f"divided by {result['temperature']:.3f}" in card
        and f"fits {len(validation)} validation images" in card
    )
    assert "## Intended use and limits" in card and "kerakd distill" not in card
    told = "- Data: data; its validation images set the temperature, its test images give"
    assert told in card and "Not calibrated" not in card


def test_a_bundle_of_a_run_says_how_it_was_trained(student, data, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "student.keras").write_bytes(student.read_bytes())
    (run / "config.toml").write_text('student = "C"\nepochs = 3\n')
    (run / "metrics.json").write_text("{}")
    out = tmp_path / "bundle"
    arguments = f"{run / 'student.keras'} --format dynamic --data {data} --bundle"
    arguments += f" --model-version 1.4.2 --out {out}"
    assert called("export", *arguments.split()) == 0
    card = (out / "README.md").read_text()
    assert (out / "config.toml").read_bytes() == (run / "config.toml").read_bytes()
    assert (
        f"```sh\nkerakd distill --config config.toml --out run\nkerakd export {arguments}\n```"
        in card
    )


@pytest.mark.parametrize("holds", ["metrics.json", "student.keras", ".state"])
def test_a_bundle_does_not_replace_a_runs_card(student, data, tmp_path, holds, capsys):
    run = tmp_path / "run"
    (run / holds).mkdir(parents=True)
    (run / "README.md").write_text("The run's card.")
    for command in (
        ["export", student, "--data", data, "--bundle", "--out", run],
        ["teach", "--data", data, "--teacher", "C", "--out", run],
    ):
        assert called(*map(str, command)) != 0
        assert "run is already in use, by a run: choose another --out." in capsys.readouterr().err
    assert sorted(path.name for path in run.iterdir()) == sorted(["README.md", holds])
    assert (run / "README.md").read_text() == "The run's card."


def test_versions_belong_to_bundles(student, data, capsys):
    for arguments, told in ((["1.0.1"], "add --bundle"), (["1.0"], "three numbers")):
        asked = ["--data", str(data), "--model-version", *arguments]
        assert called("export", str(student), *asked) == 2
        assert told in capsys.readouterr().err


def test_calibration_divides_the_classes_alone_and_needs_their_dense_layer(student):
    image = keras.Input((4,))
    named = {
        "kind": layers.Dense(3, name="kind")(image),
        "size": layers.Dense(1, name="size")(image),
    }
    model = keras.Model(image, named)
    before, after = (one(np.ones((2, 4))) for one in (model, with_divided_logits(model, 2.0)))
    np.testing.assert_allclose(after["kind"], np.asarray(before["kind"]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(after["size"], before["size"])
    pair = keras.Model(image, layers.Average()([layers.Dense(3)(image), layers.Dense(3)(image)]))
    found = with_divided_logits(pair, 4.0)(np.ones((2, 4)))
    np.testing.assert_allclose(found, np.asarray(pair(np.ones((2, 4)))) / 4, rtol=1e-6)
    mirrored = keras.Model(
        image, layers.Average()([named["kind"], model.get_layer("kind")(-image)])
    )
    found = with_divided_logits(mirrored, 4.0)(np.eye(4))
    np.testing.assert_allclose(found, np.asarray(mirrored(np.eye(4))) / 4, atol=1e-6)
    read = keras.Model(
        image, [named["kind"], layers.Dense(1, name="size of kind")(named["kind"])], name="read"
    )
    with pytest.raises(
        ModelError, match=r"read has another layer that reads the logits of kind .size of kind."
    ):
        with_divided_logits(read, 2.0)
    # Read by a layer of another model only.
    with_divided_logits(keras.Model(image, named["kind"]), 2.0)
    for last in (layers.Dense(3, "softmax", name="last"), layers.Dense(1, name="last")):
        model = keras.Model(image, last(image), name="sure")
        with pytest.raises(
            ModelError, match="sure ends in last .Dense., not in a dense layer of classes' logits"
        ):
            with_divided_logits(model, 2.0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--format", "int8"], "--calibrate needs --data"),
        (["--format", "qat", "--data", "faces"], "--calibrate doesn't go with --format qat"),
    ],
)
def test_calibration_without_data_or_before_training_is_refused(student, more, message, capsys):
    assert called("export", str(student), "--calibrate", *more) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "units", "message"),
    [
        (CLASSES, 2, "No temperature from"),
        (None, 5, "5 outputs for 2 classes"),
        (None, 1, "has no classes to calibrate"),
    ],
)
def test_what_has_no_temperature_is_refused(student, data, tmp_path, names, units, message, capsys):
    model, path = keras_file.load(student)[0], tmp_path / "model.keras"
    if units != 2:
        model = keras.Model(model.input, layers.Dense(units, name="other")(model.layers[-2].output))
    keras_file.save(model, path, keras_file.ModelSpec(names, input_shape=(64, 64, 1)))
    assert (
        called("export", str(path), "--format", "float32", "--data", str(data), "--calibrate") == 2
    )
    shown = capsys.readouterr().err
    assert message in shown and "Traceback" not in shown and [path] == list(tmp_path.iterdir())


def _dark_and_bright(folder: Path, images: int) -> str:
    """A data set of noise of two levels, so many images a split and class."""
    random = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        for kind, level in (("bright", 160), ("dark", 90)):
            (folder / split / kind).mkdir(parents=True)
            for number in range(images):
                pixels = level + random.integers(-60, 61, (64, 64))
                path = folder / split / kind / f"{number}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return str(folder)


def _without_names(student: Path, path: Path) -> Path:
    keras_file.load(student)[0].save(path)
    return path


def test_other_classes_are_told_as_the_models_and_the_datas(student, tmp_path, capsys):
    data = Path(_dark_and_bright(tmp_path / "data", 2))
    for folder in data.glob("*/bright"):
        folder.rename(folder.with_name("dim"))
    assert called("export", str(student), "--data", str(data)) == 2
    told = capsys.readouterr().err
    assert "the model lacks dim and has bright besides; use a model trained on dark, dim" in told


@pytest.mark.parametrize(("more", "name"), [("--bundle", "made"), ("--calibrate", "made.tflite")])
def test_classes_that_nobody_names_are_checked_against_the_data(
    student, tmp_path, more, name, capsys
):
    """Ten images of each class for training are enough, however few are scored."""
    path = _without_names(student, tmp_path / "model.keras")
    data, made = _dark_and_bright(tmp_path / "data", 10), tmp_path / name
    for file in [*tmp_path.glob("data/validation/*/?.png"), *tmp_path.glob("data/test/*/?.png")]:
        if file.name >= "2.png":
            file.unlink()
    asked = ["export", str(path), "--format", "float32", "--data", data, "--range", "0,255"]
    assert called(*asked, more, "--out", str(made)) == 2
    told = capsys.readouterr().err
    assert f"{path} names no classes" in told and not made.exists()
    assert "in the order dark, bright on 100.0 %" in told


def test_a_bundle_of_too_few_images_says_that_its_classes_are_not_checked(
    student, tmp_path, capsys
):
    path = _without_names(student, tmp_path / "model.keras")
    asked = ["--bundle", "--data", _dark_and_bright(tmp_path / "data", 2), "--range", "0,255"]
    out = str(tmp_path / "made")
    assert called("export", str(path), "--format", "float32", *asked, "--out", out) == 0
    told = capsys.readouterr().err
    assert f"{path} names no classes: the data's order is assumed, and not checked" in told
    assert "The bundle's classes are bright, dark (--classes overrides this)." in told


def test_a_model_of_open_size_is_exported_for_the_stated_one(data, student, tmp_path, capsys):
    fixed = keras_file.load(student)[0]
    model = keras.models.clone_model(fixed, keras.Input((None, None, 1)))
    model.set_weights(fixed.get_weights())
    model.save(tmp_path / "open.keras")
    command = ["export", str(tmp_path / "open.keras"), "--format", "float32"]
    assert called(*command) == 2
    assert "takes images of any size" in capsys.readouterr().err
    stated = ["--input", "40x48x1", "--classes", ",".join(CLASSES), "--data", str(data), "--json"]
    assert called(*command, *stated) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["test"]["accuracy"] == 1
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 48, 1), np.uint8)
    found = predictors.load(result["file"]).logits(images)
    np.testing.assert_allclose(found, model.predict(images.astype("float32")), atol=1e-4)


def test_data_that_lack_a_class_of_the_model_calibrate_and_score_it(
    student, data, tmp_path, capsys
):
    model = keras_file.load(student)[0]
    logits = layers.Concatenate()(
        [layers.Dense(1, name="other")(model.layers[-2].output), model.output]
    )
    path = tmp_path / "three.keras"
    form = keras_file.ModelSpec(("dim", *CLASSES), input_shape=(64, 64, 1))
    more = keras.Model(model.input, logits)
    more.get_layer("other").set_weights([np.zeros((24, 1)), np.array([-99.0])])
    keras_file.save(more, path, form)
    result = _exported(capsys, path, "--format", "int8", "--data", data)
    assert result["answers"]["accuracy"] == result["test"]["accuracy"] == 1
    assert list(result["test"]["recall"]) == ["bright", "dark", "dim"]


def test_fine_tuning_without_images_of_a_class_is_told(student, data, monkeypatch, capsys):
    monkeypatch.setattr(conversion, "export_quantization_aware", lambda *args, **options: None)
    form = keras_file.ModelSpec(("dim", *CLASSES), input_shape=(64, 64, 1))
    train = conversion.samples_in_order(str(data), "train", form)
    settings = resolved(ExportSettings(format="qat", data=str(data)))
    conversion.Conversion(student, None, form, settings, train, Terminal()).write(Path("any"))
    told = capsys.readouterr().err
    assert "the training images have none of dim: fine-tuning unlearns" in told
