"""Options that another one leaves without effect are told, and no others."""

from __future__ import annotations

import pytest
import striped_images
from small_network import NETWORK

from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.pipelines import distill, plan, unused_options

LABELS = "trains on the labels alone"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, []),
        ({"beta": 0.0}, []),
        ({"recipe": "paper", "alpha": 0.0}, []),
        ({"student": "C", "teacher": "vgg8", "teacher_epochs": 3, "alpha": 0.5, "margin": 1.0}, []),
        (
            {"beta": 0.0, "teacher": "a.keras", "teacher_range": "0,1", "temperature": 5.0},
            [f"beta=0 {LABELS}: teacher, teacher_range, temperature."],
        ),
        ({"beta": 0.0, "alpha": 0.0}, [f"beta=0 {LABELS}: alpha."]),
        ({"beta": 0.0, "optimizer": "dot"}, [f"beta=0 {LABELS}: optimizer."]),
        ({"beta": 0.0, "optimizer": "adamw"}, []),
        (
            {"alpha": 1.0, "baseline": True, "soft_labels": "store"},
            [f"alpha=1 without beta {LABELS}: soft_labels, baseline."],
        ),
        (
            {"alpha": 0.0, "label_smoothing": 0.1, "class_weights": "balanced"},
            ["alpha=0 gives labels of taught classes no weight: class_weights, label_smoothing."],
        ),
        ({"votes": "v.csv", "teacher_mirror": True}, ["people's votes teach: teacher_mirror."]),
        (
            {"teacher": "a.keras", "teacher_epochs": 3},
            ["no teacher is trained here: teacher_epochs."],
        ),
        (
            {"live_teacher": True, "verify_soft_labels": 5},
            ["a live teacher's outputs are not stored: verify_soft_labels."],
        ),
        (
            {"start_from": "a.keras", "pretrained": "imagenet"},
            ["the student starts from a.keras: pretrained."],
        ),
        (
            {"student": NETWORK, "dense_dropout": 0.4},
            [f"dropout is what {NETWORK} says: dense_dropout."],
        ),
        ({"unlabeled_share": 0.3}, ["no unlabeled pictures are given: unlabeled_share."]),
        (
            {"views": 3, "augment": "mirror"},
            ["augment=mirror draws no views by chance: views."],
        ),
        ({"views": 3, "augment": "crops"}, []),
        ({"weights_normalised": True}, ["class_weights=none: weights_normalised."]),
        ({"bound_weight": 0.0, "margin": 1.0}, ["bound_weight=0: margin."]),
    ],
)
def test_what_has_no_effect_is_told_with_its_reason(given, told, monkeypatch):
    monkeypatch.setenv("KERAKD_TRUSTED_MODULES", "")
    found = unused_options.remarks(plan.resolve(Config(**given)))
    assert found == [f"Without effect, because {sentence}" for sentence in told]


def test_stored_soft_labels_need_nothing_of_a_teachers_file(tmp_path):
    (tmp_path / "store.json").write_text("{}")
    config = Config(soft_labels=str(tmp_path), teacher_range="0,1", verify_soft_labels=0)
    assert unused_options.remarks(plan.resolve(config)) == [
        "Without effect, because soft labels that are stored teach: teacher_range."
    ]


def test_a_run_says_it_before_it_begins(tmp_path, capsys):
    data = striped_images.draw(tmp_path / "data")
    config = Config(
        data=str(data), beta=0.0, teacher="none.keras", student=NETWORK, image_size=32, epochs=1,
        batch_size=8, augment="none", formats="float32", precision="float32",
    )  # fmt: skip
    distill.distill(config, tmp_path / "run", Terminal())
    told = [line for line in capsys.readouterr().err.splitlines() if "Without effect" in line]
    assert told == [f"Without effect, because beta=0 {LABELS}: teacher."]
