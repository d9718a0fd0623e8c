"""The commands besides distill, as their user meets them."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import click
import numpy as np
import pytest
import small_shards
from click.testing import CliRunner
from command_line import called
from keras_kd.cli import export, output
from keras_kd.cli.main import kerakd
from PIL import Image

CLASS_NAMES = ("circle", "square")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of two classes, gray 64x64, as kerakd saves it."""
    import keras
    from small_network import network

    from keras_kd.models import keras_file

    path = tmp_path_factory.mktemp("model") / "student.keras"
    keras.utils.set_random_seed(1)
    model = network(2, (64, 64, 1))
    keras_file.save(model, path, keras_file.ModelSpec(CLASS_NAMES, input_shape=(64, 64, 1)))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve gray noise images in each class folder, one of them twice."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for name in CLASS_NAMES:
        (root / name).mkdir()
        for number in range(12):
            Image.fromarray(random.integers(0, 256, (20, 30), dtype=np.uint8)).save(
                root / name / f"{number:02}.png"
            )
    (root / "circle" / "twin.png").write_bytes((root / "circle" / "00.png").read_bytes())
    return root


def test_evaluate_says_which_forms_of_models_it_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert called("evaluate", "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    of_a_folder = "or the folder of a bundle or of a SavedModel."
    assert f"MODEL is a .keras, .h5, .onnx or .tflite file, {of_a_folder}" in told


def test_the_list_of_commands_is_whole_at_80_columns() -> None:
    # Of which click leaves two free.
    shown = CliRunner().invoke(kerakd, ["--help"], terminal_width=78).stdout
    lines = shown.partition("Commands:\n")[2].splitlines()
    assert len(lines) > 15 and not [line for line in lines if line.endswith("...")]


def test_export_lists_the_options_of_qat_one_after_the_other() -> None:
    """As its help says: from --prune to --seed."""
    command = kerakd.get_command(click.Context(kerakd), "export")
    names = [one.name for one in command.params]
    of_qat = names[names.index("prune") : names.index("seed") + 1]
    assert of_qat == ["prune", "cluster", "learning_rate", *export._OF_QAT]


_WITHOUT_TENSORFLOW = """
import sys
from command_line import called
*commands, of_records = sys.argv[1:]
for command in commands:
    assert called(*command.split("|")) == 0, command
loaded = {"keras", "tensorflow"} & set(sys.modules)
assert not loaded, loaded
assert called(*of_records.split("|")) == 0
"""


def test_files_for_apps_are_computed_without_tensorflow(data: Path, tmp_path: Path) -> None:
    """Which takes most of the seconds and of the memory of a prediction; where TensorFlow reads
    records, it is silent.
    """
    exports, photo = Path(__file__).parents[2] / "exports", str(data / "circle" / "00.png")
    labels = (exports / "C" / "labels.txt").read_text().split()[:2]
    for name, label in zip(CLASS_NAMES, labels, strict=True):
        shutil.copytree(data / name, tmp_path / "folders" / "test" / label)
        shutil.copytree(data / name, tmp_path / "folders" / "train" / label)
    records, files = tmp_path / "records", small_shards.row_files()[0]
    for split in ("train", "validation", "test"):
        small_shards.write_files(records / f"{split}.tfrecord", files, labels * 3)
    commands = (
        ("predict", photo, "--whole", "--model", str(exports / "C")),
        ("evaluate", str(exports / "C" / "model.tflite"), "--data", str(tmp_path / "folders")),
        ("bench", str(exports / "C"), "--seconds", "0.1", "--data", str(tmp_path / "folders")),
        ("guide", str(exports / "C")),
        ("evaluate", str(exports / "C" / "model.tflite"), "--data", f"shards:{records}"),
    )
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TENSORFLOW, *map("|".join, commands)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "oneDNN" not in done.stderr and "cuda" not in done.stderr.lower()


def test_help_takes_less_than_half_a_second() -> None:
    command = [sys.executable, "-c", "from keras_kd.cli.main import main; main()", "--help"]
    # Not measured by coverage, which takes as long again; a processor's seconds, which other work
    # stretches least.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")
    }
    seconds = []
    for _ in range(5):
        before = os.times()
        shown = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout
        after = os.times()
        seconds.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    assert "distill" in shown and "evaluate" in shown
    assert min(seconds) < 0.5


def test_an_unknown_command_is_refused_with_exit_code_2(capsys: pytest.CaptureFixture) -> None:
    assert called("distil") == 2
    assert "No such command" in capsys.readouterr().err


def test_warnings_are_one_sentence_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    called("--version")
    assert warnings.formatwarning("Doubtful.", UserWarning, "file.py", 7) == "kerakd: Doubtful.\n"


# Trainable parameters, None where its paper has none of 7 classes, and 10^6 multiply-accumulates.
PUBLISHED = {
    "resemotenet": (80_238_599, None),
    "A": (20_069_383, 86.0),
    "B": (5_022_215, 22.4),
    "C": (1_259_911, 6.04),
    # Of 1,000 classes, which need less than 1 % more.
    "mobilenetv2": (None, 300),
    "efficientformer-l1": (None, 1290),
}


@pytest.mark.parametrize("listed", [pytest.param(None, marks=pytest.mark.slow), ("B", "C")])
def test_models_lists_the_published_counts(
    listed: tuple[str, ...] | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """All architectures are built in many seconds; each is counted by its own tests, too."""
    from keras_kd import models

    if listed:
        monkeypatch.setattr(models, "names", lambda: list(listed))
    assert called("models", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(models.names())
    for name in listed or PUBLISHED:
        parameters, millions = PUBLISHED[name]
        assert parameters in (None, rows[name]["parameters"])
        if millions:
            found = rows[name]["multiply_accumulates"] / 1e6
            assert found == pytest.approx(millions, rel=0.01)
    monkeypatch.setenv("COLUMNS", "80")  # which a row of 94 became a record for
    assert called("models") == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["B", "64x64x3", "5,022,215", "2,269,703", "22.4"] in shown


def test_inspect_counts_and_finds_the_copy(data: Path, capsys: pytest.CaptureFixture) -> None:
    assert called("data", "inspect", str(data)) == 0
    shown = capsys.readouterr().out
    assert "folder, gray" in shown and "30x20 (25)" in shown
    assert called("data", "inspect", str(data), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    counts = [part["classes"] for part in report["splits"].values()]
    assert {name: sum(count[name] for count in counts) for name in CLASS_NAMES} == {
        "circle": 13,
        "square": 12,
    }
    copies = sum(part["copies"] for part in report["splits"].values()) + sum(
        report["copies_across"].values()
    )
    assert copies == 1


def test_export_writes_and_scores_an_int8_file(
    student: Path, data: Path, capsys: pytest.CaptureFixture
) -> None:
    assert called("export", str(student), "--format", "int8", "--data", str(data), "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["file"] == str(student.with_name("student_int8.tflite"))
    assert result["bytes"] == Path(result["file"]).stat().st_size < 650_000
    assert sum(map(sum, result["test"]["confusion"])) == result["test"]["n"]


def test_export_refuses_what_it_can_not_do(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for arguments, word in (
        (["--format", "gif"], "int8"),
        (["--format", "int8"], "--data"),
        (["--bundle"], "--data"),
        (["--app-input", "48"], "3 numbers"),
        (["--app-input", "48x48x1"], "add --io app"),
        (["--example", "a.png"], "--example is a bundle's"),
        (["--out", str(tmp_path / "x.png")], ".tflite"),
        (["--tune", "--format", "int8"], "leave out --format"),
        (["--tune"], "--data"),
        (["--max-drop", "0.1"], "belongs to --tune"),
        (["--prune", "0.5", "--temp", "4"], "--prune, --temp: these need --format qat"),
        (["--format", "qat", "--alpha", "0.5"], "--alpha: these set the loss on soft labels"),
        (["--format", "qat"], "--data"),
        (["--format", "qat", "--epochs", "0"], "epochs must be above 0"),
        (
            ["--format", "qat", "--data", "faces", "--soft-labels", "store", "--beta", "0"],
            "no weight: set --beta",
        ),
        (["--format", "qat", "--prune", "2"], "prune must be between 0 and 1"),
        (["--format", "qat", "--cluster", "1"], "cluster must be 2 or more"),
    ):
        assert called("export", str(student), *arguments) == 2
        message = capsys.readouterr().err
        assert word in message and "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_holds_what_an_app_needs(
    student: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "bundle"
    arguments = ["--format", "dynamic", "--data", str(data), "--bundle", "--out", str(out)]
    assert called("export", str(student), *arguments) == 0
    files = {path.name for path in out.iterdir()}
    assert files == {
        "model.tflite",
        "labels.txt",
        "preprocess.json",
        "example.png",
        "example.json",
        "README.md",
    }
    assert "| circle |" in (out / "README.md").read_text()
    assert (out / "labels.txt").read_text().split() == list(CLASS_NAMES)


def test_bench_puts_ratios_to_the_first_model(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    table = tmp_path / "bench.csv"
    assert (
        called(
            "bench", str(student), str(student), "--seconds", "0.1", "--csv", str(table), "--json"
        )
        == 0
    )
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == ["student.keras"] * 2
    assert rows[0]["latency ratio, 1 thread"] == rows[0]["size ratio"] == rows[1]["size ratio"] == 1
    assert table.read_text().count("\n") == 3


def test_evaluate_prints_a_table(student: Path, data: Path, capsys: pytest.CaptureFixture) -> None:
    assert called("evaluate", str(student), "--data", str(data), "--split", "train") == 0
    shown = capsys.readouterr().out
    assert "accuracy %" in shown and "circle" in shown


def test_evaluate_averages_models_and_mirror_images(
    student: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import keras
    from small_network import network

    from keras_kd import datasets
    from keras_kd.models import keras_file

    keras.utils.set_random_seed(2)
    other = network(2, (64, 64, 1))
    path = tmp_path / "other.keras"
    keras_file.save(other, path, keras_file.ModelSpec(CLASS_NAMES[::-1], input_shape=(64, 64, 1)))
    arguments = ["--data", str(data), "--split", "train", "--mirror", "--json"]
    assert called("evaluate", str(student), str(path), *arguments) == 0
    found = json.loads(capsys.readouterr().out)["train"]

    samples = datasets.load(str(data), "train", size=64)
    shown = [samples.images, samples.images[:, :, ::-1]]
    logits = [np.asarray(keras_file.load(student)[0](images)) for images in shown]
    logits += [np.asarray(other(images))[:, ::-1] for images in shown]
    logits = np.mean(logits, axis=0)
    right = logits[np.arange(len(samples)), samples.labels]
    assert found["nll"] == pytest.approx(np.mean(np.logaddexp(*logits.T) - right), abs=1e-4)


def test_of_several_models_the_one_that_does_not_fit_is_named(
    student: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import keras

    from keras_kd.models import keras_file

    for name, side, spec in (
        ("foreign", 8, keras_file.ModelSpec(("cat", "dog"), input_shape=(8, 8, 1))),
        ("any-size", None, keras_file.ModelSpec()),
    ):
        image = keras.Input((side, side, 1))
        logits = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(image))
        keras_file.save(keras.Model(image, logits), tmp_path / f"{name}.keras", spec)
        assert (
            called("evaluate", str(student), str(tmp_path / f"{name}.keras"), "--data", str(data))
            == 2
        )
        assert capsys.readouterr().err.startswith(f"kerakd: {tmp_path / name}.keras: The model ")


@pytest.mark.usefixtures("few_faces")
def test_models_of_values_alone_are_exported_and_measured_without_accuracies(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import keras

    from keras_kd.models import keras_file
    from keras_kd.models.spec import ModelSpec

    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(
        image, {name: keras.layers.Dense(1, name=name)(x) for name in ("arousal", "valence")}
    )
    keras_file.save(model, tmp_path / "values.keras", ModelSpec(None, input_shape=(8, 8, 3)))
    file = tmp_path / "values.tflite"
    arguments = ["--data", "faces", "--format", "float32", "--out", str(file)]
    assert called("export", str(tmp_path / "values.keras"), *arguments) == 0
    picture = ["--data", "faces", "--picture", str(tmp_path / "x.png"), "--seconds", "0.02"]
    assert file.exists() and called("bench", str(file), *picture) == 2
    assert "none of the models has classes: leave it out." in capsys.readouterr().err


def test_a_table_wider_than_the_window_becomes_records(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("model", "accuracy %", "note"), ("teacher", "91.25", "n" * 60), ("C", "88.10", "")]
    monkeypatch.setenv("COLUMNS", "100")
    output.show_table(rows)
    wide = capsys.readouterr().out
    assert "accuracy %" in wide.splitlines()[1] and "91.25" in wide.splitlines()[3]
    monkeypatch.setenv("COLUMNS", "80")
    output.show_table(rows)
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 80
    assert narrow.split() == [
        "teacher", "accuracy", "%", "91.25", "note", "n" * 60, "C", "accuracy", "%", "88.10",
    ]  # fmt: skip
