"""Expression, valence and arousal learnt, exported and scored together."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import called
from distilled_runs import RUN_FILES
from small_network import NETWORK

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
        NETWORK,
        "--teacher",
        NETWORK,
        "--heads",
        "expression,valence,arousal",
        "--baseline",
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
    few = {"train": 350, "validation": 70, "test": 70}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KERAKD_CACHE", environment["KERAKD_CACHE"])
        patched.setattr("keras_kd.datasets.readers.faces.IMAGES", few)
        assert called("distill", *options, "--precision", "float32", "--out", str(out)) == 0
    return out, json.loads((out / "metrics.json").read_text())


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
