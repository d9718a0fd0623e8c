"""The model card as a Markdown reader sees it, and the closing table."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from keras_kd.reports import model_card, summary


def _part(accuracy: float, recall: tuple = (0.9, None)) -> dict[str, Any]:
    return {
        "n": 1200,
        "accuracy": accuracy,
        "accuracy_interval": [accuracy - 0.02, accuracy + 0.02],
        "balanced_accuracy": accuracy - 0.1,
        "macro_f1": accuracy - 0.2,
        "recall": {"happy": recall[0], "<script>|_x_": recall[1]},
        "ece": 0.0525,
        "nll": 1.0,
        "confusion": [[1080, 120], [0, 0]],
    }


METRICS = {
    "student": "B",
    "teacher": {"name": "resemotenet", "accuracy": 0.7},
    "test": {**_part(0.65), "agreement": 0.8125},
    "teacher_test": _part(0.7, (0.95, None)),
    "baseline_test": _part(0.6, (0.85, None)),
    "exported": {
        "float32": {
            "file": "student_float32.tflite",
            "bytes": 20_123_456,
            "test": _part(0.6499),
            "max_logit_difference": 1.234e-5,
        }
    },
    "fer2013": {"public": _part(0.62), "private": _part(0.65), "both": _part(0.635)},
    "parameters": 5022215,
    "train_seconds": 3725.4,
}
DATA = {
    "name": "fer2013",
    "fingerprint": "0123456789abcdef",
    "counts": {"train": {"happy": 7215, "sad": 4830}, "test": {"happy": 879, "sad": 594}},
}


def _card(metrics: dict[str, Any], **changes: Any) -> str:
    facts = {
        "config": {"temperature": 3.0, "alpha": 0.15, "beta": None, "epochs": 30, "seed": 0},
        "data": DATA,
        "command": "kerakd distill --student B --data fer2013.csv",
        "versions": {"keras": "3.15.1"},
        "hardware": "2 cores",
        "input_shape": (64, 64, 3),
    }
    return model_card.model_card(metrics, **{**facts, **changes})


def _html(card: str) -> str:
    _, _, body = card.split("---\n", 2)
    return MarkdownIt("commonmark").enable("table").render(body)


def _tables(card: str) -> list[list[list[str]]]:
    tables = re.findall(r"<table>.*?</table>", _html(card), re.S)
    return [
        [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in table.split("</tr>")[:-1]]
        for table in tables
    ]


def test_results_table() -> None:
    results = _tables(_card(METRICS))[0]
    assert results == [
        ["model", "accuracy %", "balanced %", "macro-F1 %", "ECE %", "parameters", "MB"],
        ["teacher resemotenet", "70.00", "60.00", "50.00", "5.25", "", ""],
        ["student B, distilled", "65.00", "55.00", "45.00", "5.25", "5,022,215", ""],
        ["student B, no teacher", "60.00", "50.00", "40.00", "5.25", "5,022,215", ""],
        ["student_float32.tflite", "64.99", "54.99", "44.99", "5.25", "5,022,215", "20.12"],
    ]
    assert [list(row) for row in summary.summary_rows(METRICS)] == results


def test_the_card_tells_the_calibration_error_by_chance() -> None:
    known = copy.deepcopy(METRICS)
    known["test"]["ece_by_chance"] = 0.0391
    n = METRICS["test"]["n"]
    sentence = f"have an ECE of about 3.9 % on {n:,} images, by chance."
    assert sentence in _card(known) and "by chance" not in _card(METRICS)


def _values(ccc: float) -> dict[str, Any]:
    scores = {"n": 1190, "ccc": ccc, "pcc": ccc + 0.05, "rmse": 0.25, "sagr": 0.8125}
    return {"valence": scores, "arousal": {**scores, "ccc": None}}


def test_continuous_values_have_columns_and_a_table() -> None:
    joint = copy.deepcopy(METRICS)
    joint["test"]["values"], joint["teacher_test"]["values"] = _values(0.7), _values(0.75)
    results, _, _, values, _ = _tables(_card(joint))
    assert results[0][4:] == ["ECE %", "valence CCC", "arousal CCC", "parameters", "MB"]
    assert [row[5] for row in results[1:]] == ["0.750", "0.700", "", ""]
    assert values[0] == ["value", "test images", "CCC", "PCC", "RMSE", "SAGR %"]
    assert values[1] == ["valence, student", "1,190", "0.700", "0.750", "0.250", "81.25"]
    assert [row[0] for row in values[2:]] == [
        "arousal, student",
        "valence, teacher",
        "arousal, teacher",
    ]
    assert values[2][2] == "undefined"
    assert "tells 2 classes and valence and arousal" in _card(joint)


def test_values_alone_need_no_classes() -> None:
    alone = {"student": "C", "parameters": 10, "test": {"n": 1200, "values": _values(0.7)}}
    card = _card(alone)
    assert _tables(card)[0][:2] == [
        ["model", "valence CCC", "arousal CCC", "parameters", "MB"],
        ["student C", "0.700", "undefined", "10", ""],
    ]
    assert "Recall" not in card and "interval" not in card and "None" not in card
    assert summary.costs(alone) == {}


def test_costs_of_what_is_known() -> None:
    known = {
        **METRICS,
        "teacher": {"name": "A", "multiply_accumulates": 86_000_000},
        "multiply_accumulates": 22_400_000,
    }
    assert summary.costs(known) == {
        "teacher A": (86_000_000, 0.7),
        "student B, distilled": (22_400_000, 0.65),
        "student B, no teacher": (22_400_000, 0.6),
    }
    assert summary.costs(METRICS) == {}
    of_file = {"name": "teacher", "multiply_accumulates": 86_000_000}
    assert "teacher" in summary.costs({**known, "teacher": of_file})  # of a file teacher.keras
    rows = summary.summary_rows({**METRICS, "teacher": of_file})
    assert rows[1][0] == "teacher"


def test_named_test_sets_recalls_and_counts() -> None:
    _, subsets, recalls, counts = _tables(_card(METRICS))
    assert [row[1:3] for row in subsets] == [
        ["images", "accuracy %"],
        ["1,200", "62.00"],
        ["1,200", "65.00"],
        ["1,200", "63.50"],
    ]
    assert recalls[0] == ["class", "test images", "student %", "student, no teacher %", "teacher %"]
    assert recalls[1] == ["happy", "1,200", "90.00", "85.00", "95.00"]
    assert counts[1:] == [
        ["happy", "7,215", "879"],
        ["sad", "4,830", "594"],
        ["all", "12,045", "1,473"],
    ]


def test_class_names_are_text_not_markup() -> None:
    card = _card(METRICS)
    assert _tables(card)[2][2] == ["&lt;script&gt;|_x_", "0", *["no images"] * 3]
    assert "<script>" not in card


def test_the_card_says_how_it_was_made_and_what_it_is_for() -> None:
    page = _html(_card(METRICS))
    for text in (
        "<h1>Student B, distilled from resemotenet</h1>",
        "63.00 to 67.00 %",
        "agree on 81.25 %",
        "at most 1.2e-05 in any output",
        "in 1 h 2 min on 2 cores with keras 3.15.1",
        "temperature 3.0, alpha 0.15, epochs 30, seed 0",
        (
            '<pre><code class="language-sh">kerakd distill --student B --data'
            " fer2013.csv\n</code></pre>"
        ),
        "0123456789abcdef",
        '<img src="confusion.png"',
        '<img src="curves.png"',
        "Article 5(1)(f)",
        "288 of its 3,589 PrivateTest images",
    ):
        assert text in page


def test_what_a_run_lacks_is_left_out() -> None:
    bare = {key: copy.deepcopy(METRICS[key]) for key in ("student", "test", "parameters")}
    del bare["test"]["agreement"]
    for absent in ({}, {"teacher": None, "exported": {}, "fer2013": None, "baseline_test": None}):
        card = _card({**bare, **absent}, config={}, pictures=())
        assert "None" not in card
        assert "nan" not in card.lower().split()
        assert [len(table) for table in _tables(card)] == [2, 3, 4]
        assert "## Use\n" not in card
        assert "![" not in card
        assert "trained without a teacher" in card
    assert [row[0] for row in summary.summary_rows(bare)] == ["model", "student B"]


def test_limits_fit_the_data() -> None:
    assert "say nothing about real faces" in _card(METRICS, data={**DATA, "name": "faces"})
    assert "say nothing about real faces" not in _card(METRICS)
    assert "<p>Data set *my* [data], fingerprint" in _html(
        _card(METRICS, data={**DATA, "name": "*my* [data]"})
    )


def test_a_command_with_backticks_stays_code() -> None:
    page = _html(_card(METRICS, command="kerakd distill\n```\n# no heading"))
    assert "kerakd distill\n```\n# no heading\n</code></pre>" in page


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.4, "59 s"), (125, "2 min 5 s"), (3599.9, "1 h 0 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert f"Trained in {text} on" in _card({**METRICS, "train_seconds": seconds})


def test_the_epochs_that_were_trained() -> None:
    told = "Trained for 7 epochs; the weights are those after epoch 4, the best on the validation"
    assert told in _card({**METRICS, "trained_epochs": 7, "best_epoch": 4})


@pytest.mark.parametrize(("channels", "dtype"), [(3, "float32"), (1, "uint8")])
def test_the_snippet_on_the_card_runs_a_real_file(
    tmp_path: Path, channels: int, dtype: str
) -> None:
    """The model's logits are the image's mean red, green and blue (or gray, 100 and 0)."""
    tensorflow = pytest.importorskip("tensorflow", reason="TensorFlow makes the .tflite")

    def mean_colour(image: Any) -> dict[str, Any]:
        means = tensorflow.reduce_mean(tensorflow.cast(image, tensorflow.float32), axis=(1, 2))
        return {
            "logits": means if channels == 3 else tensorflow.concat([means, [[100.0, 0.0]]], axis=1)
        }

    module = tensorflow.Module()
    image = tensorflow.TensorSpec((1, 8, 12, channels), dtype, name="image")
    module.serve = tensorflow.function(mean_colour, input_signature=[image])
    tensorflow.saved_model.save(module, str(tmp_path / "saved"), signatures=module.serve)
    converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    (tmp_path / "student_x.tflite").write_bytes(converter.convert())
    (tmp_path / "labels.txt").write_text("first\nsecond\nthird\n")
    pixels = np.zeros((30, 20, 3), np.uint8)
    pixels[:, :, 1] = 200  # gray: 200 · 0.587 = 117
    Image.fromarray(pixels).save(tmp_path / "image.png")
    metrics = copy.deepcopy(METRICS)
    metrics["exported"]["float32"]["file"] = "student_x.tflite"
    code = re.search(r"```python\n(.*?)```", _card(metrics, input_shape=(8, 12, channels)), re.S)
    assert "resize((12, 8), Image.BILINEAR)" in code[1]  # Pillow takes (width, height)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code[1]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [{3: "second", 1: "first"}[channels], "100%"]
