"""Class names of `.safetensors` files, in and out."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

import keras_kd
from keras_kd import checkpoints, models
from keras_kd.errors import ModelError

NAMES = ("zebra", "ärger", "auto")


@pytest.fixture(scope="module")
def student():
    return models.build("C", 3, (16, 16, 1), seed=0)


def test_an_exported_students_names_come_back_and_none_are_invented(student, tmp_path: Path):
    path = tmp_path / "named.safetensors"
    keras_kd.export(student, path, "safetensors", class_names=NAMES)
    back, spec = checkpoints.load(path, input_shape=(16, 16, 1))
    assert spec.class_names == NAMES
    for one, other in zip(back.get_weights(), student.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # The header as the format's own description has it: text by text.
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert json.loads(metadata["class_names"]) == list(NAMES) and length % 8 == 0
    assert checkpoints.load(path, class_names=("a", "b", "c"))[1].class_names == ("a", "b", "c")


def test_a_student_of_seven_classes_has_not_the_published_order(tmp_path: Path):
    path = tmp_path / "unnamed.safetensors"
    checkpoints.save(models.build("C", 7, (16, 16, 1), seed=0), path)
    assert checkpoints.load(path, input_shape=(16, 16, 1))[1].class_names is None


def test_a_list_beside_the_weights_names_their_classes(tmp_path: Path):
    path = tmp_path / "unnamed.safetensors"
    checkpoints.save(models.build("C", 3, (16, 16, 1), seed=0), path)
    (tmp_path / "labels.txt").write_text("\n".join(NAMES), encoding="utf-8")
    assert checkpoints.load(path, input_shape=(16, 16, 1))[1].class_names == NAMES


def test_damaged_names_are_refused(student, tmp_path: Path):
    path = tmp_path / "damaged.safetensors"
    checkpoints.save(student, path, {"a": 1})
    with pytest.raises(ModelError, match="damaged class names: export it again"):
        checkpoints.load(path, input_shape=(16, 16, 1))
