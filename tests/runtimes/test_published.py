"""What Hugging Face, timm and Ultralytics write beside or into a model."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes import labels, predictors, published

NAMES = ("angry", "happy", "sad")
BY_NUMBER = {"0": "angry", "2": "sad", "1": "happy"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _write(path: Path, facts: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Gives the mean of each channel of what it gets."""
    image = keras.Input((4, 4, 3))
    path = tmp_path / "model.keras"
    keras.Model(image, layers.GlobalAveragePooling2D()(image)).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "facts", "values"),
    [
        (
            "preprocessor_config.json",
            {
                "do_rescale": True,
                "rescale_factor": 0.00392156862745098,
                "do_normalize": True,
                "image_mean": MEAN,
                "image_std": STD,
                "size": {"height": 4, "width": 4},
            },
            lambda pixels: (pixels / 255 - MEAN) / STD,
        ),
        # Files of the time before do_rescale.
        (
            "preprocessor_config.json",
            {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
            lambda pixels: pixels / 127.5 - 1,
        ),
        # MobileViT: blue first, no normalisation.
        (
            "preprocessor_config.json",
            {"do_rescale": True, "rescale_factor": 1 / 255, "do_flip_channel_order": True},
            lambda pixels: pixels[..., ::-1] / 255,
        ),
        (
            "preprocessor_config.json",
            {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False},
            lambda pixels: pixels / 127.5 - 1,
        ),
        (
            "config.json",
            {"architecture": "resnet18", "pretrained_cfg": {"mean": MEAN, "std": STD}},
            lambda pixels: (pixels / 255 - MEAN) / STD,
        ),
    ],
)
def test_a_hubs_files_state_the_pixels(model: Path, name: str, facts, values) -> None:
    _write(model.with_name(name), facts)
    _write(model.with_name("config.json"), {**facts, "id2label": BY_NUMBER})
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    predictor = predictors.load(model)
    given = predictor.predict(pixels).logits
    np.testing.assert_allclose(given, values(pixels).mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    assert predictor.spec.class_names == NAMES


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ({"id2label": BY_NUMBER}, NAMES),
        ({"label_names": [*NAMES], "num_classes": 3}, NAMES),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, None),
        ({"id2label": {}}, None),
        ({"class_name": "Functional"}, None),
        (["no", "object"], None),
    ],
)
def test_a_config_names_the_classes(facts, names, tmp_path: Path) -> None:
    _write(tmp_path / "config.json", facts)
    for path in (tmp_path / "model.h5", tmp_path / "onnx" / "model.onnx"):
        assert labels.with_labels(ModelSpec(), path, None).class_names == names


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    _write(tmp_path / "config.json", {"id2label": {"0": "a", "5": "b"}})
    with pytest.raises(ModelError, match=r"config\.json .*2 classes are not numbered.*mend"):
        labels.with_labels(ModelSpec(), path, None)
    _write(tmp_path / "preprocessor_config.json", {"image_mean": "0.5"})
    with pytest.raises(ModelError, match=r"preprocessor_config\.json .*image_mean.*--range"):
        published.pixels(path)
    _write(tmp_path / "preprocessor_config.json", {"image_std": [0.0]})
    with pytest.raises(ModelError, match="std must be above 0"):
        published.pixels(path)
    # A tokenizer's settings, say, state nothing of pixels.
    _write(tmp_path / "preprocessor_config.json", {"sampling_rate": 16000})
    assert published.pixels(path) is None


METADATA = {"description": "Ultralytics", "imgsz": [64, 64], "names": dict(enumerate(NAMES))}


@pytest.mark.parametrize(
    ("entry", "text"),
    [("temp_meta.txt", str(METADATA)), ("metadata.json", json.dumps(METADATA))],
)
def test_ultralytics_names_inside_of_a_tflite(entry: str, text: str, tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(entry, text)
    (tmp_path / "m.tflite").write_bytes(b"model" * 9 + content.getvalue())
    found = labels.with_labels(ModelSpec(), tmp_path / "m.tflite", None)
    assert found.class_names == NAMES


# As `yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)` of PyYAML 6.0.3 writes it.
BESIDE = """description: Ultralytics YOLO11n-cls model trained on faces
author: Ultralytics
version: 8.3.40
stride: 1
task: classify
batch: 1
imgsz:
- 64
- 64
names:
{}args:
  batch: 1
"""


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ("  0: angry\n  1: happy\n  2: sad\n", NAMES),
        ("- angry\n- happy\n- sad\n", NAMES),
        ("  1: happy\n  0: angry\n  2: sad\n", NAMES),
        ("  0: 'no'\n  1: it's\n  2: '5: a'\n", ("no", "it's", "5: a")),
        ("  0: 'it''s: a'\n  1: 'a #b'\n  2: müde\n", ("it's: a", "a #b", "müde")),
        (f"  0: {'a' * 90}\n    {'b' * 20}\n", (f"{'a' * 90} {'b' * 20}",)),
    ],
)
def test_ultralytics_names_beside_a_model(lines, names, tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text(BESIDE.format(lines), encoding="utf-8")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "m_float32.tflite", tmp_path / "folder", tmp_path):
        assert labels.with_labels(ModelSpec(), path, None).class_names == names


@pytest.mark.parametrize(
    "line", ["  0: !!python/object/apply:os.system [ls]", "  0: &a cat", "  0: [cat]", "  5: cat"]
)
def test_other_forms_of_ultralytics_file_are_refused(line, tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text(BESIDE.format(line + "\n"))
    with pytest.raises(ModelError, match=r"metadata\.yaml beside .* can't be read .*mend them"):
        labels.with_labels(ModelSpec(), tmp_path / "m.tflite", None)


def test_other_programs_files_of_ultralytics_name_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text("author: somebody\nnames:\n- !x [a]\n")
    assert labels.with_labels(ModelSpec(), tmp_path / "m.tflite", None).class_names is None


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ({"names": "{0: 'angry', 1: 'happy', 2: 'sad'}", "stride": "1"}, NAMES),
        ({"class_names": '["angry", "happy", "sad"]'}, NAMES),
        ({"names": "{0: open('x'), 1: 'happy'}"}, None),
        ({"names": "angry"}, None),
        ({}, None),
    ],
)
def test_ultralytics_names_inside_of_an_onnx(properties, names, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="ONNX files are made with onnx (the extra onnx)")
    model = onnx.ModelProto()
    onnx.helper.set_model_props(model, properties)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    found = labels.with_labels(ModelSpec(), tmp_path / "m.onnx", None)
    assert found.class_names == names
    if names:
        (tmp_path / "labels.txt").write_text("sad\nhappy\nangry\n")
        with pytest.raises(ModelError, match="contradict each other"):
            labels.with_labels(ModelSpec(), tmp_path / "m.onnx", None)


def test_a_models_own_statement_of_pixels_comes_first(model: Path) -> None:
    _write(model.with_name("preprocessor_config.json"), {"image_mean": [0.5], "image_std": [0.5]})
    own = ModelSpec(pixels=PixelValues((-1.0, 1.0)))
    assert predictors._with_pixels(own, model) is own
