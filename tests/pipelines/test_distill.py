"""The whole program on small drawn data, through the command line as its user runs it."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import called
from distilled_runs import KERAKD, RUN_FILES, distill_command
from PIL import Image
from small_network import NETWORK, PARAMETERS

TRUSTED = ["--trust-module", NETWORK.partition(":network")[0]]


@pytest.fixture(scope="module")
def finished(
    data: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("run") / "c"
    command = distill_command(data, out, "--baseline", "--json")[len(KERAKD) :]
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(io.StringIO()) as shown:
        patched.setenv("KERAKD_CACHE", environment["KERAKD_CACHE"])
        assert called(*command) == 0
    return out, json.loads(shown.getvalue())


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
    assert shown["parameters"] == PARAMETERS + 3 * (16 + 1)


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


# As KERAKD, until the state after the second epoch is saved.
KILLED = """
import os, signal
from keras_kd.cli import engine, main
State = engine.load("training.state").TrainingState
save = State.save
def save_and_end(self):
    save(self)
    if self.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
State.save = save_and_end
main.main()
"""


def test_a_killed_run_goes_on_to_the_same_end(
    finished: tuple[Path, dict],
    data: Path,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """Killed after two of six epochs; tests/training/test_fitting.py kills at random moments."""
    out, shown = finished
    broken = tmp_path / "broken"
    # A process of its own would start another to convert to int8.
    command = distill_command(data, broken, "--formats", "float32", "--json")
    killed = [sys.executable, "-c", KILLED, *command[len(KERAKD) :]]
    ended = subprocess.run(killed, env=environment, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    monkeypatch.setenv("KERAKD_CACHE", environment["KERAKD_CACHE"])
    record = broken / "config.toml"
    written = record.read_text()
    record.write_text(written.replace("\nepochs = 6\n", "\nepochs = 7\n"))
    assert called("distill", "--resume", "--out", str(broken), *TRUSTED) == 2
    assert "began, the option epochs changed" in capsys.readouterr().err
    record.write_text(written)
    assert called(*command[len(KERAKD) :], "--resume") == 0
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
    resumed = json.loads(capsys.readouterr().out)
    assert resumed == json.loads((broken / "metrics.json").read_text())
    assert resumed["test"] == shown["test"]


def test_a_run_made_again_is_the_same_and_changes_are_listed(
    finished: tuple[Path, dict],
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("KERAKD_CACHE", environment["KERAKD_CACHE"])
    old = tmp_path / "old"
    shutil.copytree(finished[0], old)
    record = json.loads((old / "metrics.json").read_text())
    record["test"]["nll"] += 1
    (old / "metrics.json").write_text(json.dumps(record))
    config = (old / "config.toml").read_text()
    assert '"hardware" = ' in config and '"keras" = ' in config
    logged = f'log = "tensorboard:{tmp_path}/elsewhere"\n'
    (old / "config.toml").write_text(logged + config.replace('"keras" = "', '"keras" = "0.'))
    assert called("rerun", str(old), "--out", str(tmp_path / "new"), "--json", *TRUSTED) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["equal"] is True
    # The commit differs where the checkout was changed between the two.
    assert set(shown["differences"]) - {"commit"} == {"keras", "test nll"}
    then, now = shown["differences"]["test nll"]
    assert then == pytest.approx(now + 1)
    assert all(map(np.array_equal, _weights(tmp_path / "new"), _weights(old)))
    assert not (tmp_path / "elsewhere").exists()
    assert called("rerun", str(tmp_path)) == 2
    assert "holds no finished run (metrics.json)" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(data: Path, environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    # A shell's background jobs ignore Ctrl-C, and with it all that they start.
    process = subprocess.Popen(
        distill_command(data, out, "--formats", "float32"),
        env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    state, saved = out / ".state" / "state.npz", set[int]()
    # After an epoch: TensorFlow prints a traceback where it is interrupted as it builds a step.
    while len(saved) < 2:
        assert process.poll() is None
        saved |= {state.stat().st_mtime_ns} if state.exists() else set()
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
        assert called("distill", "--data", str(data), *arguments, *TRUSTED) == 2
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
