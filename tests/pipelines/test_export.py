"""`kerakd export` where it chooses or trains: --tune, --format qat, and bundles."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import called
from dark_and_bright import CLASSES, draw_images, exported
from PIL import Image

from keras_kd import datasets
from keras_kd._common.progress import Terminal
from keras_kd.exporters import tuning
from keras_kd.models import keras_file
from keras_kd.pipelines import conversion
from keras_kd.pipelines.export_settings import ExportSettings, resolved
from keras_kd.runtimes import predictors
from keras_kd.teachers import soft_label_pass, soft_labels
from keras_kd.teachers.views import Views


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw_images(tmp_path_factory.mktemp("data"))


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


def test_tune_says_what_it_tried_and_scores_in_the_models_order(student, data, tmp_path, capsys):
    out = tmp_path / "small.tflite"
    result = exported(capsys, student, "--tune", "--max-drop", 0.05, "--data", data, "--out", out)
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
    result = exported(
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
    spec = keras_file.ModelSpec((*CLASSES, "dim"), input_shape=(64, 64, 1))
    keras_file.save(model, tmp_path / "m.keras", spec)
    options = ("--format", "qat", "--data", data, "--soft-labels", store)
    assert called("export", *map(str, (tmp_path / "m.keras", *options))) == 2
    told = capsys.readouterr().err
    assert f"soft labels at {store} are of the classes" in told and ", dim: give those" in told


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


def test_a_model_of_open_size_is_exported_for_the_stated_one(data, student, tmp_path, capsys):
    fixed = keras_file.load(student)[0]
    model = keras.models.clone_model(fixed, keras.Input((None, None, 1)))
    model.set_weights(fixed.get_weights())
    model.save(tmp_path / "open.keras")
    command = ["export", str(tmp_path / "open.keras"), "--format", "float32"]
    # In a run's folder, in place of its own file.
    (tmp_path / "metrics.json").write_text('{"exported": {"float32": {}}}')
    (tmp_path / "student_float32.tflite").touch()
    command += ["--out", str(tmp_path / "student_float32.tflite")]
    assert called(*command) == 2
    assert "takes images of any size" in capsys.readouterr().err
    stated = ["--input", "40x48x1", "--classes", ",".join(CLASSES), "--data", str(data), "--json"]
    assert called(*command, *stated) == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert result["test"]["accuracy"] == 1
    assert "student_float32.tflite will be replaced: README.md of that run has" in shown.err
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 48, 1), np.uint8)
    found = predictors.load(result["file"]).logits(images)
    np.testing.assert_allclose(found, model.predict(images.astype("float32")), atol=1e-4)


def test_rows_that_the_choice_of_a_format_left_out_are_told(student, tmp_path, monkeypatch, capsys):
    """Those of training and test images were, and those of the images that choose were not."""
    data = draw_images(tmp_path)
    for file in sorted(data.rglob("*.png"))[::3]:
        file.write_bytes(b"broken")
    monkeypatch.setattr(tuning, "tune", lambda *args, **options: (None, []))
    settings = resolved(ExportSettings(format="tuned", data=str(data), skip_bad_rows=True))
    spec = keras_file.ModelSpec(CLASSES, input_shape=(64, 64, 1))
    conversion.Conversion(student, None, spec, settings, None, Terminal()).write(Path("any"))
    lost = datasets.load(data, "validation", skip_bad_rows=True).skipped
    assert len(lost) > 0 and capsys.readouterr().err.count("skipped: ") == len(lost)


def test_data_of_a_run_that_left_out_bad_rows(student, tmp_path, capsys):
    """`distill --skip-bad-rows` took such a folder, and no export did."""
    (tmp_path / "data").mkdir()
    data = draw_images(tmp_path / "data")
    for name in ("bright", "dark"):
        (data / name / "00.png").write_bytes(b"broken")
    given = (student, "--format", "float32", "--data", data, "--out", tmp_path / "m.tflite")
    assert called("export", *map(str, given)) == 2
    assert "00.png can't be read as an image" in capsys.readouterr().err
    assert called("export", *map(str, given), "--skip-bad-rows", "--json") == 0
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if line.startswith("skipped: ")]
    lost = sum(
        len(datasets.load(data, split, skip_bad_rows=True).skipped) for split in ("train", "test")
    )
    assert len(lines) == lost > 0 and json.loads(told.out)["test"]["accuracy"] == 1.0
    # Both classes are told apart without an error, which sets no temperature.
    given = (*given[:1], *given[3:5], "--bundle", "--calibrate", "--out", tmp_path / "bundle")
    assert called("export", *map(str, given), "--skip-bad-rows") == 2
    told = capsys.readouterr().err
    assert "all predictions are right" in told and "leave --calibrate out" in told
    assert not (tmp_path / "bundle").exists()


def test_a_model_of_two_outputs_of_classes_is_scored_by_the_one_that_is_named(
    data, tmp_path, capsys
):
    """An int8 file of such a model could not be had at all: its ranges need --data."""
    image = keras.Input((8, 8, 3))
    brightness = keras.layers.GlobalAveragePooling2D()(image)
    dense = keras.layers.Dense(2, name="kinds")
    model = keras.Model(image, {"kinds": dense(brightness), "features": brightness})
    dense.set_weights([np.array([[-1.0, 1]] * 3) / 8, np.array([48.0, -48])])
    path, out = tmp_path / "model.keras", tmp_path / "model.tflite"
    model.save(path)
    given = [str(path), "--format", "int8", "--out", str(out), "--classes", ",".join(CLASSES)]
    assert called("export", *given, "--data", str(data)) == 2 and not out.exists()
    assert "choose one by --head" in capsys.readouterr().err
    assert called("export", *given, "--head", "kinds") == 2
    assert "add --data" in capsys.readouterr().err
    result = exported(capsys, path, *given[1:], "--head", "kinds", "--data", data)
    assert result["test"]["accuracy"] == 1.0 and out.exists()
