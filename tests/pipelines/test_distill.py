"""The whole program on small drawn data, through the command line as its user runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import called
from PIL import Image

KERAKD = [sys.executable, "-c", "from keras_kd.cli.main import main; main()"]
TRAINING = [
    "--batch-size",
    "8",
    "--views",
    "2",
    "--learning-rate",
    "0.02",
    "--precision",
    "float32",
]
RUN_FILES = {
    "README.md",
    "config.toml",
    "confusion.png",
    "cost.png",
    "curves.png",
    "reliability.png",
    "history.csv",
    "labels.txt",
    "metrics.json",
    "student.keras",
    "student_float32.tflite",
    "student_int8.tflite",
}


def _shape(kind: int, random: np.random.Generator) -> np.ndarray:
    """A bright bar, upright (0), level (1) or both (2), somewhere on noise."""
    image = random.integers(0, 80, (64, 64))
    at = random.integers(12, 46)
    if kind != 1:
        image[:, at : at + 8] += 150
    if kind != 0:
        image[at : at + 8] += 150
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bars")
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 10), ("test", 12)):
        for kind, name in enumerate(("upright", "level", "cross")):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(_shape(kind, random)).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    # One thread and no reordering of sums: equal runs give equal bits.
    fixed = {"TF_DETERMINISTIC_OPS": "1", "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **fixed, "KERAKD_CACHE": str(tmp_path_factory.mktemp("cache"))}


def _distill(data: Path, out: Path, *more: str) -> list[str]:
    fixed = [
        "--data",
        str(data),
        "--student",
        "C",
        "--teacher",
        "C",
        "--teacher-epochs",
        "6",
        "--epochs",
        "6",
    ]
    return [*KERAKD, "distill", *fixed, *TRAINING, "--out", str(out), *more]


@pytest.fixture(scope="module")
def finished(
    data: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("run") / "c"
    done = subprocess.run(
        _distill(data, out, "--baseline", "--json"), env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def _weights(out: Path) -> list[np.ndarray]:
    from keras_kd.models import keras_file

    return keras_file.load(out / "student.keras")[0].get_weights()


def test_a_run_ends_with_the_promised_files(finished: tuple[Path, dict]) -> None:
    out, shown = finished
    assert {path.name for path in out.iterdir()} == RUN_FILES
    assert json.loads((out / "metrics.json").read_text()) == shown
    assert (out / "labels.txt").read_text() == "cross\nlevel\nupright\n"
    assert len(pd.read_csv(out / "history.csv")) == 6


def test_the_student_learns_from_its_teacher(finished: tuple[Path, dict]) -> None:
    _, shown = finished
    assert shown["test"]["n"] == 36
    assert shown["test"]["accuracy"] > 0.6  # a guess gets 0.33
    assert shown["test"]["agreement"] > 0.6
    assert {"teacher_test", "baseline_test", "validation"} <= shown.keys()
    assert shown["parameters"] == 1_259_911 - 4 * (32 + 1)  # 3 classes instead of 7


def test_the_exported_file_is_what_was_scored(finished: tuple[Path, dict], data: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    out, shown = finished
    exported = shown["exported"]["float32"]
    assert exported["bytes"] == (out / exported["file"]).stat().st_size
    assert exported["max_logit_difference"] < 1e-3
    interpreter = Interpreter(str(out / exported["file"]))
    interpreter.allocate_tensors()
    right = 0
    for number, name in enumerate((out / "labels.txt").read_text().splitlines()):
        for file in sorted((data / "test" / name).iterdir()):
            pixels = np.asarray(Image.open(file), np.float32)[None, :, :, None]
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
            interpreter.invoke()
            right += (
                interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax()
                == number
            )
    assert right / 36 == exported["test"]["accuracy"]


@pytest.mark.parametrize("file", ["student.keras", "student_float32.tflite", "student_int8.tflite"])
def test_evaluate_gives_the_scores_of_the_run(
    file: str, finished: tuple[Path, dict], data: Path, capsys: pytest.CaptureFixture
) -> None:
    out, shown = finished
    assert called("evaluate", str(out / file), "--data", str(data), "--json") == 0
    scored = json.loads(capsys.readouterr().out)["test"]
    of_run = shown["exported"]["int8"]["test"] if "int8" in file else shown["test"]
    assert scored["confusion"] == of_run["confusion"]


def _killed_and_resumed(command: list[str], environment: dict[str, str], out: Path) -> int:
    """Kill -9 the command whenever its state was saved anew; resume it to its end; how often it was
    killed.
    """
    state, kills, more = out / ".state" / "state.npz", 0, []
    while True:
        before = state.stat().st_mtime_ns if state.exists() else 0
        process = subprocess.Popen(
            [*command, *more], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while process.poll() is None:
            if kills < 2 and state.exists() and state.stat().st_mtime_ns > before:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            time.sleep(0.02)
        if process.wait() == 0:
            return kills
        assert process.returncode == -signal.SIGKILL, process.stderr.read().decode()
        more = ["--resume"]


def test_a_killed_run_goes_on_to_the_same_end(
    finished: tuple[Path, dict], data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    out, shown = finished
    broken = tmp_path / "broken"
    assert _killed_and_resumed(_distill(data, broken), environment, broken) == 2
    assert all(
        np.array_equal(left, right)
        for left, right in zip(_weights(out), _weights(broken), strict=True)
    )
    columns = [
        "epoch",
        "loss",
        "accuracy",
        "val_accuracy",
        "hard_loss",
        "soft_loss",
        "learning_rate",
    ]
    histories = [pd.read_csv(folder / "history.csv")[columns] for folder in (out, broken)]
    pd.testing.assert_frame_equal(*histories)
    assert json.loads((broken / "metrics.json").read_text())["test"] == shown["test"]


JOINT_RUN = """
import sys
from keras_kd.datasets.readers import faces
faces.IMAGES = {"train": 350, "validation": 70, "test": 70}
sys.argv[0] = "kerakd"
from keras_kd.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def joint(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict]:
    """Expression, valence and arousal on a few drawn faces."""
    out = tmp_path_factory.mktemp("run") / "joint"
    options = [
        "--student",
        "C",
        "--teacher",
        "C",
        "--heads",
        "expression,valence,arousal",
        "--baseline",
        "--json",
    ]
    options += [
        "--epochs",
        "8",
        "--teacher-epochs",
        "8",
        "--batch-size",
        "16",
        "--learning-rate",
        "0.05",
        "--image-size",
        "64",
    ]
    command = [
        sys.executable,
        "-c",
        JOINT_RUN,
        "distill",
        *options,
        "--precision",
        "float32",
        "--out",
        str(out),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_expression_valence_and_arousal_are_learnt_and_scored_together(
    joint: tuple[Path, dict],
) -> None:
    out, shown = joint
    assert {path.name for path in out.iterdir()} == {*RUN_FILES, "values.png"}
    for part in ("test", "validation", "teacher_test", "baseline_test"):
        assert list(shown[part]["values"]) == ["valence", "arousal"] and "accuracy" in shown[part]
    assert shown["test"]["values"]["arousal"]["ccc"] > 0.1  # a constant gets 0
    assert shown["exported"]["int8"]["test"]["values"]["valence"]["n"] == 70
    history = pd.read_csv(out / "history.csv")
    scores = history[["val_expression_accuracy", "val_valence_ccc", "val_arousal_ccc"]]
    np.testing.assert_allclose(history["val_score"], scores.mean(axis=1), atol=1e-6)
    best = history["val_score"].idxmax()
    assert shown["validation"]["values"]["valence"]["ccc"] == pytest.approx(
        scores["val_valence_ccc"][best], abs=1e-3
    )
    card = (out / "README.md").read_text()
    assert "valence CCC" in card and "### Continuous values" in card and "values.png" in card


def test_the_exported_file_tells_the_values_that_were_scored(joint: tuple[Path, dict]) -> None:
    """Straight from LiteRT, with the concordance in NumPy."""
    from ai_edge_litert.interpreter import Interpreter

    from keras_kd.datasets.readers import faces

    out, shown = joint
    test = faces.generate(70, faces.SEEDS["test"])
    run = Interpreter(str(out / "student_float32.tflite")).get_signature_runner()
    outputs = [run(image=image[None].astype(np.float32)) for image in test.images]
    assert set(outputs[0]) == {"expression", "valence", "arousal"}
    assert outputs[0]["expression"].shape == (1, 7)
    found, values = (
        np.array([output["valence"].item() for output in outputs]).clip(-1, 1),
        test.values["valence"],
    )
    offset = found.mean() - values.mean()
    expected = 2 * np.cov(found, values, bias=True)[0, 1] / (found.var() + values.var() + offset**2)
    scored = shown["exported"]["float32"]["test"]["values"]["valence"]
    assert scored["ccc"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("student", ["mobilenetv2", "efficientformer-l1", "efficientformer-l3"])
def test_emonet_teaches_the_second_papers_students(
    student: str,
    environment: dict[str, str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """An untrained EmoNet stands for the published one: its three outputs reach the student, whose
    files are scored.
    """
    from keras_kd import models
    from keras_kd.datasets.readers import faces
    from keras_kd.models import keras_file

    heads = {"expression": 7, "valence": None, "arousal": None}
    teacher = models.build("emonet", heads=heads, seed=0)
    # Untrained, its normalisations let the sums of its many blocks grow beyond all bounds.
    teacher.set_weights(
        [0.5 * weight if weight.ndim == 4 else weight for weight in teacher.get_weights()]
    )
    keras_file.save(
        teacher,
        tmp_path / "emonet.keras",
        keras_file.ModelSpec(faces.CLASS_NAMES, input_shape=(256, 256, 3)),
    )
    code = JOINT_RUN.replace("350", "21").replace("70", "14")
    options = [
        "--student",
        student,
        "--teacher",
        str(tmp_path / "emonet.keras"),
        "--image-size",
        "64",
        "--epochs",
        "1",
    ]
    options += [
        "--augment",
        "none",
        "--batch-size",
        "7",
        "--formats",
        "float32,dynamic,int8",
        "--json",
    ]
    command = [sys.executable, "-c", code, "distill", *options, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = json.loads(done.stdout)
    assert set(shown["exported"]) == {"float32", "dynamic", "int8"}
    for exported in shown["exported"].values():
        assert (
            list(exported["test"]["values"]) == ["valence", "arousal"]
            and exported["test"]["n"] == 14
        )


def test_heads_that_the_data_lacks_are_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = [
        "--data",
        str(data),
        "--alpha",
        "1",
        "--heads",
        "label,valence",
        "--out",
        str(tmp_path / "out"),
    ]
    assert called("distill", *arguments) == 2
    assert (
        "heads must be among those of folder, label. Received: heads='label,valence'."
        in capsys.readouterr().err
    )


def test_a_run_made_again_is_the_same_and_changes_are_listed(
    finished: tuple[Path, dict],
    environment: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    old = tmp_path / "old"
    shutil.copytree(finished[0], old)
    record = json.loads((old / "metrics.json").read_text())
    record["test"]["nll"] += 1
    (old / "metrics.json").write_text(json.dumps(record))
    config = (old / "config.toml").read_text()
    assert '"hardware" = ' in config and '"keras" = ' in config
    (old / "config.toml").write_text(config.replace('"keras" = "', '"keras" = "0.'))
    command = [*KERAKD, "rerun", str(old), "--out", str(tmp_path / "new"), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["equal"] is True
    # The commit differs where the checkout was changed between the two.
    assert set(shown["differences"]) - {"commit"} == {"keras", "test nll"}
    then, now = shown["differences"]["test nll"]
    assert then == pytest.approx(now + 1)
    assert all(map(np.array_equal, _weights(tmp_path / "new"), _weights(old)))
    assert called("rerun", str(tmp_path)) == 2
    assert "holds no finished run (metrics.json)" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(data: Path, environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    # A shell's background jobs ignore Ctrl-C, and with it all that they start.
    process = subprocess.Popen(
        _distill(data, out), env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while not (out / ".state" / "state.npz").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"kerakd distill --resume --out {out}" in messages and "Traceback" not in messages
    assert (out / ".state" / "state.npz").exists()


def test_a_complete_or_foreign_folder_is_left_alone(
    finished: tuple[Path, dict], data: Path, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    out, _ = finished
    (tmp_path / "diary.txt").write_text("mine")
    for arguments, words in (
        (["--out", str(out)], "already in use"),
        (["--out", str(out), "--resume"], "complete"),
        (["--out", str(out), "--resume", "--epochs", "7"], "differ"),
        (["--out", str(tmp_path)], "already in use"),
        (["--out", str(tmp_path), "--resume"], "no run to resume"),
        (["--out", str(tmp_path / "diary.txt")], "already in use"),
        (["--out", str(tmp_path / "diary.txt" / "run")], "Can't make the folder"),
    ):
        assert called("distill", "--data", str(data), *arguments) == 2
        message = capsys.readouterr().err
        assert words in message and len(message.strip().splitlines()) == 1
    assert (tmp_path / "diary.txt").read_text() == "mine" and list(tmp_path.iterdir()) == [
        tmp_path / "diary.txt"
    ]


def test_two_runs_in_one_folder_are_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import filelock

    with filelock.FileLock(tmp_path / ".lock"):
        assert called("distill", "--data", str(data), "--out", str(tmp_path)) == 2
    assert "Another run is at work" in capsys.readouterr().err


def test_two_devices_share_each_batch(data: Path, tmp_path: Path) -> None:
    code = f"""
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_kd import Config
from keras_kd.pipelines.distill import distill
common = dict(data={str(data)!r}, student="C", alpha=1.0, epochs=4, batch_size=8, augment="none", learning_rate=0.02)
scores = distill(Config(devices=2, precision="float32", formats="float32", **common), {str(tmp_path / "two")!r})
print(scores["test"]["accuracy"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) > 0.5  # a guess gets 0.33


def test_more_devices_than_there_are(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = [
        "--data",
        str(data),
        "--alpha",
        "1",
        "--devices",
        "99",
        "--out",
        str(tmp_path / "out"),
    ]
    assert called("distill", *arguments) == 2
    assert "devices must be at most" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
