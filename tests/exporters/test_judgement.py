"""Whether a rounded file answers as its model: what is refused, and what is told of it."""

from __future__ import annotations

import re
from contextlib import nullcontext
from types import SimpleNamespace

import gratings
import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import datasets, exporters
from keras_kd.errors import ExportError
from keras_kd.exporters._comparison import Answers, ClassAnswers, Comparison, Expected, compare
from keras_kd.exporters._judgement import LayerError, require_right, require_same_answers
from keras_kd.runtimes.litert import LiteRTModel


@pytest.fixture(scope="module")
def softplus():
    return gratings.trained("softplus", epochs=25)


def test_a_file_that_changes_answers_is_refused_and_the_advice_mends_it(softplus, tmp_path):
    path = tmp_path / "m.tflite"
    with pytest.raises(ExportError, match=r"less than the 97 % required.*act_\d") as refused:
        exporters.export(softplus, path, "int8", gratings.samples())
    assert "samples that are" not in str(refused.value) and not list(tmp_path.iterdir())
    kept = re.search(r"--keep-float ([\w,]+)", str(refused.value)).group(1).split(",")
    report = exporters.export(softplus, path, "int8", gratings.samples(), keep_float=tuple(kept))
    # Judged here by an own run of the file on images that it has not seen.
    images, labels = gratings.stripes(100, 9)
    keras_answers = softplus.predict(images, verbose=0).argmax(1)
    found = LiteRTModel(path).predict(images).argmax(1)
    assert np.mean(found == keras_answers) >= 0.95
    assert report.answers.same >= 0.97 and report.answers.images == 100
    ours = LiteRTModel(path).predict(gratings.samples().images).argmax(1)
    assert report.answers.accuracy == pytest.approx(np.mean(ours == gratings.samples().labels))
    assert report.worst_layer.error < 0.5


def test_what_rounding_adds_is_measured_on_images_of_all_classes(tmp_path):
    """The first samples are of one class, whose probabilities are next to equal: what rounding adds
    was told as a multiple of their spread.
    """
    image = keras.Input((16, 16, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(1, "sigmoid")(pooled))
    model.set_weights([np.full((3, 1), 10.0), np.array([-15.0])])
    labels = np.repeat([0, 1], 16)
    dark = np.random.default_rng(0).integers(0, 60, (32, 16, 16, 3))
    pixels = (dark + 190 * labels[:, None, None, None]).astype(np.uint8)
    samples = datasets.Samples(pixels, labels, ("dark", "bright"))
    report = exporters.export(model, tmp_path / "m.tflite", "int8", samples)
    # Outputs near 0 and 1 spread by a half, and integers of 8 bits are 1/256 apart.
    assert max(one.error for one in report.layer_errors) < 0.02


def test_the_bound_on_answers_can_be_set_and_values_are_still_bounded(softplus, tmp_path):
    with pytest.raises(ExportError, match="more than the 0.3 allowed.*act_"):
        exporters.export(
            softplus, tmp_path / "m.tflite", "int8", gratings.samples(), min_agreement=0
        )


@pytest.mark.parametrize(
    ("changed", "least", "refused"), [(3, 0.97, True), (3, 0.4, False), (2, 0.97, False)]
)
def test_a_rare_class_that_rounding_loses_is_seen(changed, least, refused):
    """On 97 % of all images the file names the class of Keras."""
    ours = np.eye(2, dtype=np.float32)[[1] * 5 + [0] * 95]
    theirs = ours.copy()
    theirs[:changed] = (0.9, 0.1)
    images = np.zeros((100, 2, 2, 1), np.uint8)
    serving = SimpleNamespace(as_input=lambda images: images, class_names=("common", "rare"))
    compared = compare(Expected(images, {"p": ours}), serving, lambda images: {"p": theirs})
    assert compared.answers.same == 1 - changed / 100
    assert compared.answers.worst_class == ClassAnswers("rare", 5, 1 - changed / 5)
    said = "97.0 % of 100 samples, but on 40.0 % of the 5 on which Keras predicts rare, less than"
    with pytest.raises(ExportError, match=said) if refused else nullcontext():
        require_same_answers("int8", compared.answers, least, "use the format float16.")


@pytest.mark.parametrize(
    ("changed", "name"), [("gender", "class 1 of gender"), ("expression", "calm of expression")]
)
def test_class_names_are_those_of_the_head_of_as_many_classes(changed, name):
    ours = {"expression": np.eye(3)[[1] * 5 + [0] * 95], "gender": np.eye(2)[[1] * 5 + [0] * 95]}
    theirs = ours | {changed: np.roll(ours[changed], 1, axis=0)}
    images = np.zeros((100, 2, 2, 1), np.uint8)
    named = ("happy", "calm", "sad")
    serving = SimpleNamespace(as_input=lambda images: images, class_names=named)
    compared = compare(Expected(images, ours), serving, lambda images: theirs)
    assert compared.answers.worst_class == ClassAnswers(name, 5, 0.8)


def test_more_layers_than_a_sentence_can_name_are_counted():
    names = [f"block_{number}" for number in range(40)]
    errors = [LayerError(name, "CONV_2D", 0.05, (name,)) for name in names]
    compared = Comparison(0.1, Answers(100, 0.9, 0.6, 0.7))
    with pytest.raises(ExportError, match="90.0 %.*block_0.*in 40 layers.*float16.*qat") as refused:
        require_right("int8", exporters.find("int8"), compared, errors, 0.97)
    assert len(str(refused.value)) < 400 and "--keep-float" not in str(refused.value)


def test_relu_is_reported_with_its_answers_and_worst_layer(tmp_path):
    model = gratings.trained("relu")
    for format in ("int8", "dynamic"):
        report = exporters.export(model, tmp_path / "m.tflite", format, gratings.samples())
        assert report.answers.same >= 0.97
        names = {layer.name for layer in model.layers}
        assert set(report.worst_layer.layer.split(" + ")) <= names | {"rescaling"}
        assert 0 < report.worst_layer.error < 0.3


def test_keep_float_names_that_are_wrong_are_refused(softplus, tmp_path):
    with pytest.raises(ExportError, match="'nonsense'"):
        exporters.export(
            softplus, tmp_path / "m.tflite", "int8", gratings.samples(), keep_float=("nonsense",)
        )
    with pytest.raises(ExportError, match="keep_float belongs to the format int8"):
        exporters.export(softplus, tmp_path / "m.tflite", "dynamic", keep_float=("act_0",))
