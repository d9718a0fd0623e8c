"""Sweeps on small drawn data, through the command line as their user runs them."""

from __future__ import annotations

import json
import os
import re
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
from small_network import NETWORK

from keras_kd._common.progress import Terminal
from keras_kd.reports import sweep_picture

optuna = pytest.importorskip("optuna", reason="needs the extra sweep")


KERAKD = [sys.executable, "-c", "from keras_kd.cli.main import main; main()"]


TRAINING = ["--epochs", "2", "--batch-size", "8", "--learning-rate", "0.02", "--augment", "none"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and bright images, told apart at a glance."""
    folder = tmp_path_factory.mktemp("brightness")
    random = np.random.default_rng(0)
    for split, count in (("train", 16), ("validation", 8), ("test", 2)):
        for name, low in (("dark", 0), ("bright", 150)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(low, low + 100, (64, 64)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


def _command(data: Path, out: Path) -> list[str]:
    vary = ["--vary", "temp=1,3", "--vary", "alpha=0.1,0.2"]
    teacher = ["--teacher", NETWORK, "--teacher-epochs", "2"]
    fixed = ["--data", str(data), "--student", NETWORK, "--no-pruning", "--precision", "float32"]
    return ["sweep", *vary, *fixed, *teacher, *TRAINING, "--out", str(out)]


def test_a_killed_sweep_goes_on_where_it_was(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("keras_kd.pipelines.trial_queue.SILENT_SECONDS", 2)
    out = tmp_path / "out"
    process = subprocess.Popen([*KERAKD, *_command(data, out)], stderr=subprocess.PIPE)
    # Killed while the second student is being trained.
    while not ((out / "trials.csv").exists() and list(out.glob(".state/*/state.npz"))):
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = pd.read_csv(out / "trials.csv")
    assert len(before) < 4

    assert called(*_command(data, out), "--json") == 0
    trials = json.loads(capsys.readouterr().out)
    assert sorted((trial["temperature"], trial["alpha"]) for trial in trials) == [
        (1, 0.1),
        (1, 0.2),
        (3, 0.1),
        (3, 0.2),
    ]
    assert [trial["state"] for trial in trials] == ["complete"] * 4 and {
        trial["epochs"] for trial in trials
    } == {2}
    after = pd.read_csv(out / "trials.csv")
    pd.testing.assert_frame_equal(after[: len(before)], before)
    # One teacher and one store for all, and nothing of the killed training left.
    assert len(list((tmp_path / "cache" / "teachers").iterdir())) == 1
    assert len(list((tmp_path / "cache" / "soft_labels").iterdir())) == 1
    assert not (out / ".state").exists()
    # As Optuna itself reads the study.
    study = optuna.load_study(study_name="kerakd", storage=f"sqlite:///{out / 'sweep.db'}")
    assert study.best_value == after["validation"].max()
    from keras_kd import config

    best = config.merged(out / "best.toml", {})
    assert {"temperature": best.temperature, "alpha": best.alpha} == study.best_params
    assert best.teacher == next((tmp_path / "cache" / "teachers").iterdir()).name
    assert Image.open(out / "sweep.png").width > 300

    # Other options than those of the folder are refused, the same ones show what is there.
    assert called(*_command(data, out), "--seed", "3") == 2
    assert "other options" in capsys.readouterr().err
    assert called(*_command(data, out)) == 0
    assert "kerakd distill --config" in capsys.readouterr().out


def test_a_sweep_goes_on_with_what_it_began_with_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training image becomes another, then the student's code changes."""
    own = tmp_path / "own.py"
    shutil.copy(NETWORK.rpartition(":")[0], own)
    shutil.copytree(data, tmp_path / "data")
    student = ["--student", f"{own}:{NETWORK.rpartition(':')[2]}", "--precision", "float32"]
    vary = ["--vary", "seed=0,1", "--out", str(tmp_path / "out"), *student, "--beta", "0"]
    command = ["sweep", "--data", str(tmp_path / "data"), *TRAINING, *vary]
    assert called(*command, "--trials", "1") == 0
    bright = tmp_path / "data" / "train" / "bright" / "0.png"
    shutil.copy(tmp_path / "data" / "train" / "dark" / "0.png", bright)
    capsys.readouterr()
    assert called(*command) == 2
    assert "began, the images changed" in capsys.readouterr().err
    shutil.copy(data / "train" / "bright" / "0.png", bright)
    own.write_text(own.read_text("utf-8") + "\n# another one\n", "utf-8")
    assert called(*command) == 2
    assert f"began, the student's layers ({own}:" in capsys.readouterr().err
    shutil.copy(NETWORK.rpartition(":")[0], own)
    # Test images are not used.
    shutil.copy(bright, tmp_path / "data" / "test" / "dark" / "0.png")
    assert called(*command) == 0
    assert len(pd.read_csv(tmp_path / "out" / "trials.csv")) == 2


@pytest.mark.parametrize("option", ["teacher", "start-from"])
def test_files_of_one_name_are_varied(option: str, data: Path, tmp_path: Path, capsys) -> None:
    """As all runs call their students alike, in folders that may be called alike, too. A teacher
    that gives NaN ended a sweep.
    """
    from small_network import network

    from keras_kd.models import keras_file
    from keras_kd.models.spec import ModelSpec

    spec = ModelSpec(("bright", "dark"), input_shape=(64, 64, 1))
    files = [tmp_path / place / "run" / "student.keras" for place in "ab"]
    for file in files:
        file.parent.mkdir(parents=True)
        keras_file.save(network(2, (64, 64, 1)), file, spec)
    if option == "teacher":
        files.insert(0, tmp_path / "nan.keras")
        model = network(2, (64, 64, 1))
        model.layers[-1].bias.assign([np.nan, 0.0])
        keras_file.save(model, files[0], spec)
    vary = ["--vary", f"{option}={','.join(map(str, files))}", "--out", str(tmp_path / "out")]
    fixed = ["--data", str(data), "--student", NETWORK, "--precision", "float32", "--no-pruning"]
    fixed += ["--beta", "0"] if option == "start-from" else []
    assert called("sweep", *vary, *fixed, *TRAINING) == 0
    trials = pd.read_csv(tmp_path / "out" / "trials.csv")
    failed = ["fail"] * (option == "teacher")
    assert [*trials["state"]] == [*failed, "complete", "complete"]
    told = "Trial 0: The teacher gave logits that are not finite"
    assert (told in capsys.readouterr().err) == bool(failed)


def test_options_without_effect_are_told_once(data: Path, tmp_path: Path, capsys) -> None:
    fixed = ["--data", str(data), "--student", NETWORK, "--precision", "float32", "--beta", "0"]
    vary = ["--vary", "temp=1,2", "--out", str(tmp_path / "out")]
    assert called("sweep", *fixed, *TRAINING, *vary, "--teacher", "none.keras") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "Without effect" in line]
    assert told == [
        "Without effect, because beta=0 trains on the labels alone: teacher, temperature."
    ]


@pytest.mark.slow
def test_processes_share_a_sweep_and_the_trial_of_a_killed_one_is_done_by_the_others(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    command = [*KERAKD, *_command(data, out), "--vary", "seed=0,1,2", "--json"]
    workers = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=(tmp_path / f"{number}.txt").open("wb")
        )
        for number in range(3)
    ]

    def told(number: int) -> str:
        return (tmp_path / f"{number}.txt").read_text()

    # The first to train a student is killed in the middle of a trial.
    while not any(
        "student small_network.network: epoch 1/2" in told(number) for number in range(3)
    ):
        assert all(worker.poll() is None for worker in workers), told(0) + told(1) + told(2)
        time.sleep(0.02)
    killed = next(
        number for number in range(3) if "student small_network.network: epoch 1/2" in told(number)
    )
    os.kill(workers[killed].pid, signal.SIGKILL)
    shown = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers].count(0) == 2, told(0) + told(1) + told(2)
    tables = [json.loads(text) for number, text in enumerate(shown) if number != killed]

    # One table, each of the 12 choices once, all done; both of those left alive had a share.
    written = pd.read_csv(out / "trials.csv", keep_default_na=False)
    assert (
        tables[0] == tables[1] == json.loads(written.to_json(orient="records", double_precision=15))
    )
    choices = [(trial["temperature"], trial["alpha"], trial["seed"]) for trial in tables[0]]
    assert len(choices) == len(set(choices)) == 12 and {trial["state"] for trial in tables[0]} == {
        "complete"
    }
    assert all(told(number).count("Trial ") > 0 for number in range(3))
    # As Optuna itself reads the study: the killed trial failed and was queued again.
    study = optuna.load_study(study_name="kerakd", storage=f"sqlite:///{out / 'sweep.db'}")
    states = [trial.state.name for trial in study.trials if "queued" in trial.user_attrs]
    assert sorted(states) == ["COMPLETE"] * 12 + ["FAIL"]
    assert len(list((tmp_path / "cache" / "teachers").iterdir())) == 1
    assert len(list((tmp_path / "cache" / "soft_labels").iterdir())) == 1
    assert not (out / ".state").exists()


@pytest.mark.slow
def test_a_process_that_stood_still_leaves_its_trial_to_the_one_that_took_it(
    data: Path, tmp_path: Path
) -> None:
    from keras_kd._common.progress import Terminal
    from keras_kd.pipelines import sweep, trial_queue

    options = {
        "data": str(data),
        "student": NETWORK,
        "alpha": 1.0,
        "epochs": 2,
        "batch_size": 8,
        "precision": "float32",
    }
    dimensions = sweep.space(["learning-rate=0.01,0.02"])
    study = sweep._study(options, dimensions, tmp_path, pruning=False)
    said: list[str] = []

    class Other(Terminal):
        """Does what another process does once this one has been silent for long."""

        def say(self, message: str) -> None:
            said.append(message)
            if "student small_network.network: epoch 1/2" in message and not study.get_trials(
                states=[optuna.trial.TrialState.FAIL]
            ):
                study.enqueue_trial({"learning_rate": 0.01}, trial_queue.QUEUED)
                study.tell(0, state=optuna.trial.TrialState.FAIL)

    frame = sweep.sweep(options, dimensions, tmp_path, pruning=False, terminal=Other())
    assert sorted(frame["learning_rate"]) == [0.01, 0.02] and set(frame["state"]) == {"complete"}
    assert any("another one has taken over its trial" in message for message in said)
    assert len(study.trials) == 3


@pytest.mark.slow
def test_a_sweep_killed_while_a_finished_training_is_forgotten_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_kd.pipelines import sweep

    options = {
        "data": str(data),
        "student": NETWORK,
        "alpha": 1.0,
        "epochs": 1,
        "batch_size": 8,
        "precision": "float32",
    }
    dimensions = sweep.space(["learning-rate=0.01,0.02"])

    def half_removed(folder: Path, **options: object) -> None:
        (folder / "best.npz").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sweep.shutil, "rmtree", half_removed)
        sweep.sweep(options, dimensions, tmp_path, pruning=False)
    frame = sweep.sweep(options, dimensions, tmp_path, pruning=False)
    assert list(frame["learning_rate"]) == [0.01, 0.02] and set(frame["state"]) == {"complete"}
    assert not (tmp_path / ".state").exists()


def test_a_student_that_fails_or_falls_behind_ends_its_own_trial_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from keras_kd.pipelines import sweep, trial_queue

    options = {
        "data": str(data),
        "student": NETWORK,
        "alpha": 1.0,
        "epochs": 3,
        "batch_size": 8,
        "precision": "float32",
        "augment": "none",
        "clip_norm": 0.0,
    }
    dimensions = sweep.space(["learning-rate=1e-9:1e30:log"])
    # Four students that were perfect from the start; what doesn't learn falls behind them.
    study = sweep._study(options, dimensions, tmp_path, pruning=True)
    for rate in (1e30, 1e-9) * 2:
        values = dict.fromkeys((1, 2, 3), 1.01)
        params = {"learning_rate": rate}
        study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=dimensions, value=1.0, intermediate_values=values,
                user_attrs={"teacher": None, "epochs": 3},
            )
        )  # fmt: skip
    for rate in (1e30, 1e-9):
        study.enqueue_trial({"learning_rate": rate}, trial_queue.QUEUED)
    frame = sweep.sweep(options, dimensions, tmp_path, trials=6, terminal=Terminal())
    said = capsys.readouterr().err
    (failure,) = re.findall(r"Trial 4: .*loss became.*", said)
    assert "vary lower values of learning_rate" in failure and "--resume" not in failure
    assert re.search(r"Trial 5: [\d.]+ % of validation, stopped early", said), said
    failed, behind = frame.iloc[4], frame.iloc[5]
    assert (failed["state"], failed["learning_rate"]) == ("fail", 1e30) and "loss became" in failed[
        "error"
    ]
    assert (behind["state"], behind["learning_rate"]) == ("pruned", 1e-9) and behind["epochs"] < 3
    assert [row[-1] for row in sweep.rows(frame, ["learning_rate"])][-2:] == [
        "stopped early",
        failed["error"],
    ]


def test_the_number_of_epochs_may_be_varied(tmp_path: Path) -> None:
    """Its table had two columns of one name, and the sweep ended in a traceback."""
    from keras_kd.pipelines import sweep

    dimensions = sweep.space(["epochs=2,3"])
    study = sweep._study({}, dimensions, tmp_path, pruning=True)
    for epochs in (2, 3):
        study.add_trial(
            optuna.trial.create_trial(
                params={"epochs": epochs},
                distributions=dimensions,
                value=epochs / 10,
                user_attrs={"teacher": None, "epochs": 1},
            )
        )
    frame = sweep.sweep({}, dimensions, tmp_path)
    assert list(frame["epochs"]) == [2, 3] and set(frame["trained_epochs"]) == {1}
    assert "epochs = 3" in (tmp_path / "best.toml").read_text("utf-8").splitlines()
    assert sweep.rows(frame, ["epochs"]) == [
        ("epochs", "validation %", "trained epochs", ""),
        ("3", "30.00", "1", ""),
        ("2", "20.00", "1", ""),
    ]


def test_of_equal_scores_the_first_option_wins_whatever_order_trials_came_back_in() -> None:
    """A trial that was stopped is done again under a later number."""
    from keras_kd.pipelines import sweep

    columns = ["number", "seed", "temp", "validation", "epochs", "state", "error"]
    trials = [
        (1, 0, 3.0, 0.5, 2, "complete", ""),
        (2, 1, 1.0, 0.7, 2, "complete", ""),
        (4, 0, 2.0, 0.7, 2, "complete", ""),
        # As text it would come first.
        (6, 0, 10.0, 0.7, 2, "complete", ""),
        (5, 0, 0.5, 0.9, 1, "pruned", ""),
    ]
    for order in (trials, trials[::-1]):
        best = sweep.best(pd.DataFrame(order, columns=columns))
        assert best is not None and best["number"] == 4
    assert sweep.best(pd.DataFrame(trials[-1:], columns=columns)) is None


@pytest.mark.parametrize("choices", [True, False])
def test_the_best_value_stands_out_in_the_picture(choices: bool, tmp_path: Path) -> None:
    trials = pd.DataFrame(
        {
            "temperature": [1.0, 2.0, 1.0, 2.0],
            "alpha": [0.1, 0.1, 0.2, 0.2],
            "validation": [0.5, 0.6, None, 0.9],
        }
    ).assign(state=["complete", "pruned", "fail", "complete"])
    sweep_picture.sweep_picture(tmp_path / "s.png", trials, ["temperature", "alpha"], choices)
    pixels = np.asarray(Image.open(tmp_path / "s.png").convert("RGB")).astype(int)
    colour = (8, 48, 107) if choices else tuple(bytes.fromhex(sweep_picture.ORANGE[1:]))
    rows, columns = np.nonzero((np.abs(pixels - colour) <= 4).all(axis=2))
    # Right and above in a grid; two points, one a panel, above all others.
    assert len(rows) > 50
    if choices:
        cell = columns < 0.8 * pixels.shape[1]
        assert (
            rows[cell].mean() < pixels.shape[0] / 2 and columns[cell].mean() > 0.3 * pixels.shape[1]
        )
