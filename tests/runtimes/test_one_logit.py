"""Binary classifiers of one logit or one sigmoid, as Keras' tutorials end them."""

import json
import shutil
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import called
from keras import layers
from PIL import Image

from keras_kd import Samples, export
from keras_kd.errors import ExportError, ModelError
from keras_kd.exporters import tuning
from keras_kd.exporters.bundle import export_bundle
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes import predictors
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.runtimes.stated import Stated

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
CLASSES = ("dark", "bright")
SLOPE, BIAS = 12.0, -6.0
LOGITS = SLOPE * PIXELS.mean(axis=(1, 2, 3)) / 255 + BIAS
FORMS = (".keras", ".h5", ".tflite", "")


def _model(activation: str | None) -> keras.Model:
    """σ or its argument of 12 · mean - 6: the probability that a picture is bright."""
    image = keras.Input((8, 8, 3))
    mean = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(1, activation=activation)(mean))
    model.layers[-1].set_weights([np.full((3, 1), SLOPE / 3), np.array([BIAS])])
    return model


def _written(folder: Path, activation: str | None) -> dict[str, Path]:
    model = _model(activation)
    paths = {form: folder / f"m{form}" for form in FORMS}
    model.save(paths[".keras"])
    model.save(paths[".h5"])
    export(model, paths[".tflite"], "float32")
    model.export(paths[""], verbose=False)
    return paths


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, dict[str, Path]]:
    return {
        activation: _written(tmp_path_factory.mktemp(str(activation)), activation)
        for activation in ("sigmoid", None)
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_number_stands_for_two_named_classes(
    activation: str | None, form: str, files: dict[str | None, dict[str, Path]]
) -> None:
    found = predictors.load(files[activation][form], Stated(class_names=CLASSES))
    assert found.tells_classes and not found.values
    assert found.spec.output == ("probabilities" if activation else "logits")
    logits = found.logits(PIXELS)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], LOGITS, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_a_sigmoid_needs_no_names_and_a_logit_without_is_a_value(
    form: str, files: dict[str | None, dict[str, Path]]
) -> None:
    logits = predictors.load(files["sigmoid"][form]).logits(PIXELS)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], LOGITS, atol=1e-3)
    (value,) = predictors.load(files[None][form]).predict(PIXELS).values.values()
    np.testing.assert_allclose(value, LOGITS, atol=1e-3)


@pytest.mark.parametrize("form", [".keras", ".tflite"])
def test_a_list_beside_a_plain_number_is_not_followed_in_silence(
    form: str, files: dict[str | None, dict[str, Path]], tmp_path: Path
) -> None:
    path = Path(shutil.copy(files[None][form], tmp_path / f"m{form}"))
    (tmp_path / "labels.txt").write_text("dark\nbright\n")
    with pytest.warns(UserWarning, match="logit of bright against dark.*--output logits.*remove"):
        assert predictors.load(path).tells_classes
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The model gives one number")
        predictors.load(path, Stated(output="logits"))
        predictors.load(path, Stated(class_names=CLASSES))


def test_statements_that_can_not_be_are_refused(
    files: dict[str | None, dict[str, Path]],
) -> None:
    path = files[None][".tflite"]
    with pytest.raises(ModelError, match="one number, but 3 classes are named"):
        predictors.load(path, Stated(class_names=("a", "b", "c")))
    stated = Stated(class_names=CLASSES, output="probabilities")
    with pytest.raises(ModelError, match="not in 0..1: state --output logits"):
        predictors.load(path, stated).logits(PIXELS)
    stated = Stated(class_names=CLASSES, output="logits")
    with pytest.warns(UserWarning, match="gives the probability .* stated to give its logit"):
        predictors.load(files["sigmoid"][".tflite"], stated)


@pytest.mark.parametrize("io", ["float", "app"])
@pytest.mark.parametrize(
    ("activation", "stated"), [("sigmoid", "logits"), (None, "sigmoids"), (None, "probabilities")]
)
def test_a_statement_that_the_graph_of_one_number_contradicts_is_refused(
    activation: str | None, stated: str, io: str, tmp_path: Path
) -> None:
    options = {"class_names": CLASSES, "output": stated, "io": io}
    told = (
        rf"logits of .* is stated to give {stated}, .*graph gives [ls]\w+: leave output='{stated}'"
    )
    with pytest.raises(ExportError, match=told):
        export(_model(activation), tmp_path / "m.tflite", "float32", **options)


@pytest.mark.parametrize("stated", ["sigmoids", "probabilities"])
def test_the_probability_of_the_second_class_has_two_names(stated: str, tmp_path: Path) -> None:
    whole = _model(None)
    ends = {
        "graph": _model("sigmoid"),
        "code": keras.Model(whole.input, Own("sigmoid")(whole.output)),
    }
    for end, model in ends.items():
        options = {"io": "app", "class_names": CLASSES, "output": stated}
        export(model, tmp_path / f"{end}.tflite", "float32", **options)
        found = LiteRTModel(tmp_path / f"{end}.tflite").predict(PIXELS)
        np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-LOGITS)), atol=1e-4)
    options = {"app_input": (8, 8, 3), "output": stated}
    export_bundle(ends["code"], tmp_path, CLASSES, None, PIXELS[0], "float32", **options)
    told = json.loads((tmp_path / "preprocess.json").read_text("utf-8"))["inside_the_file"][-1]
    assert told == "sigmoids"


def test_valence_is_no_class_whatever_bounds_it(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, {"valence": layers.Dense(1, "sigmoid", name="valence")(x)})
    keras_file.save(model, tmp_path / "m.keras", ModelSpec(input_shape=(8, 8, 3)))
    found = predictors.load(tmp_path / "m.keras")
    assert found.values == ("valence",) and not found.tells_classes


def test_an_app_is_not_given_what_no_graph_explains(tmp_path: Path) -> None:
    model = _model("relu")
    with pytest.raises(ExportError, match="does not show whether that is a logit or the probab"):
        export(model, tmp_path / "m.tflite", "float32", io="app", class_names=CLASSES)


class Own(layers.Layer):
    """Code, of which no graph shows that it ends in σ."""

    def __init__(self, activation: str | None, **options) -> None:
        super().__init__(**options)
        self.activation = activation
        self.end = layers.Activation(activation or "linear")
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, numbers):
        return self.end(self.scale * numbers)

    def get_config(self):
        return super().get_config() | {"activation": self.activation}


@pytest.mark.parametrize("activation", ["sigmoid", None])
@pytest.mark.parametrize("stated", [True, False])
def test_one_number_that_no_graph_explains_is_judged_by_statement_or_values(
    activation: str | None, stated: bool, tmp_path: Path
) -> None:
    whole = _model(None)
    model = keras.Model(whole.input, Own(activation)(whole.output))
    levels = np.arange(1, 41) * 6
    images = np.broadcast_to(levels[:, None, None, None], (40, 8, 8, 3)).astype(np.uint8)
    samples = Samples(images, (levels > 127).astype(int), CLASSES)
    kind = "probabilities" if activation else "logits"
    options = {"class_names": CLASSES, "value_range": (0, 255)}
    options |= {"output": kind} if stated else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = export(model, tmp_path / "m.tflite", "float32", samples, **options)
    told = [text for one in caught if "graph does not show" in (text := str(one.message))]
    assert len(told) == (not stated)
    assert (
        stated or f"taken for the {'probability' if activation else 'logit'} of bright" in told[0]
    )
    assert report.answers.accuracy == 1
    found = predictors.load(tmp_path / "m.tflite")
    assert found.spec.output == kind
    logits = found.logits(PIXELS)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], LOGITS, atol=1e-2)


def test_a_file_of_one_sigmoid_describes_itself(tmp_path: Path) -> None:
    """LiteRT's graph of a hard sigmoid shows no sigmoid."""
    model = _model("hard_sigmoid")
    path = tmp_path / "m.tflite"
    export(model, path, "float32", class_names=CLASSES, value_range=(0, 255))
    logits = predictors.load(tmp_path / "m.tflite").logits(PIXELS)
    found = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    np.testing.assert_allclose(found, np.clip(LOGITS / 6 + 0.5, 0, 1), atol=1e-4)


def _near_the_boundary() -> Samples:
    """A black and a white picture, and 98 whose means lie around the middle by thirds of a step."""
    images = np.full((100, 8, 8, 3), 127, np.uint8)
    images[1::2, :, :, :2] += 1
    images[0::2, :, :, :1] += 1
    images[0], images[-1] = 0, 255
    return Samples(images, (images.mean(axis=(1, 2, 3)) > 127.5).astype(int), CLASSES)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_a_rounded_file_of_one_number_is_judged_by_its_answers(
    activation: str | None, tmp_path: Path
) -> None:
    """No step of int8 lies between means of 127.3 and 127.7."""
    model, samples, path = _model(activation), _near_the_boundary(), tmp_path / "m.tflite"
    options = {"class_names": CLASSES, "value_range": (0, 255)}
    with pytest.raises(ExportError, match=r"same class as Keras on 5\d\.\d % of 100.*Keras 100.0"):
        export(model, path, "int8", samples, **options)
    assert not list(tmp_path.iterdir())
    report = export(model, path, "int8", samples, min_agreement=0, **options)
    outputs = (LiteRTModel(path).predict(samples.images), model.predict(samples.images, verbose=0))
    file, ours = [one[:, 0] > (0.5 if activation else 0) for one in outputs]
    assert report.answers.same == pytest.approx(np.mean(file == ours))
    assert report.answers.accuracy == pytest.approx(np.mean(file == samples.labels))


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_number_for_other_pixels_must_say_so(activation: str | None, tmp_path: Path) -> None:
    whole = _model(activation)
    model = keras.Sequential([keras.Input((8, 8, 3)), *whole.layers[2:]])
    levels = np.arange(1, 41) * 6
    images = np.broadcast_to(levels[:, None, None, None], (40, 8, 8, 3)).astype(np.uint8)
    samples = Samples(images, (levels > 127).astype(int), CLASSES)
    with pytest.raises(ExportError, match=r"seems to take pixels of .*, not of 0\.\.255"):
        export(model, tmp_path / "m.tflite", "float16", samples, class_names=CLASSES)
    with pytest.raises(ExportError, match="Label 2 is none of the 2 classes"):
        wrong = Samples(images, np.arange(40) % 3, ())
        export(model, tmp_path / "m.tflite", "float16", wrong, class_names=CLASSES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("labels", [np.arange(40) % 3, np.linspace(0, 1, 40)])
def test_labels_of_other_than_two_classes_are_none_of_one_sigmoids(
    labels: np.ndarray, tmp_path: Path
) -> None:
    samples = Samples(np.zeros((40, 8, 8, 3), np.uint8), labels, ("a", "b", "c"))
    with pytest.raises(ExportError, match=r"one sigmoid.* two classes.* images alone"):
        export(_model("sigmoid"), tmp_path / "m.tflite", "float16", samples)


def test_a_file_of_one_number_is_tuned_as_an_apps(
    files: dict[str | None, dict[str, Path]],
) -> None:
    samples = Samples(PIXELS, np.zeros(len(PIXELS), int), CLASSES)
    with pytest.raises(ExportError, match=r"has 0; choose a format .*--io app, --classes"):
        tuning.accuracy(files["sigmoid"][".tflite"], samples)


def test_classes_named_the_wrong_way_round_are_no_sign_of_other_pixels(tmp_path: Path) -> None:
    """With pixels of 0..1 it gives one answer for all images, which is right more often."""
    samples, wrong = _near_the_boundary(), CLASSES[::-1]
    with pytest.warns(UserWarning, match=r"no better than chance .* its classes \(--classes\)"):
        export(_model("sigmoid"), tmp_path / "m.tflite", "float16", samples, class_names=wrong)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_a_bundle_gives_the_probabilities_of_both_classes(
    activation: str | None, tmp_path: Path
) -> None:
    model = _model(activation)
    export_bundle(model, tmp_path, CLASSES, None, PIXELS[0], "float32", (8, 8, 3))
    found = LiteRTModel(tmp_path / "model.tflite").predict(PIXELS)
    bright = 1 / (1 + np.exp(-LOGITS))
    np.testing.assert_allclose(found, np.stack([1 - bright, bright], axis=1), atol=1e-4)
    told = json.loads((tmp_path / "preprocess.json").read_text("utf-8"))["inside_the_file"][-1]
    assert told == ("sigmoids" if activation else "softmax")
    example = json.loads((tmp_path / "example.json").read_text("utf-8"))
    np.testing.assert_allclose(example["probabilities"]["bright"], bright[0], atol=1e-4)
    logits = predictors.load(tmp_path / "model.tflite").logits(PIXELS)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], LOGITS, atol=1e-2)


def test_the_command_line_scores_it_and_asks_for_the_names_of_a_logit(
    files: dict[str | None, dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, level in (("bright", 180), ("dark", 60)):
        for split, first in (("train", 0), ("test", 12)):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(first, first + 12):
                Image.new("RGB", (8, 8), (level + number,) * 3).save(folder / f"{number}.png")
    named = ["--data", str(tmp_path), "--json", "--classes", "dark,bright"]
    for activation in ("sigmoid", None):
        assert called("evaluate", str(files[activation][".keras"]), *named) == 0
        assert json.loads(capsys.readouterr().out)["test"]["accuracy"] == 1
    bundle = ["--bundle", "--format", "float32", "--out", str(tmp_path.parent / "bundle")]
    assert called("export", str(files["sigmoid"][".keras"]), *bundle, *named) == 0
    assert json.loads(capsys.readouterr().out)["test"]["accuracy"] == 1
    assert called("evaluate", str(files[None][".keras"]), "--data", str(tmp_path)) == 2
    assert "name the two classes of one logit by --classes bright,dark" in capsys.readouterr().err
    # In the data's order, bright first, it would be wrong on all.
    assert called("evaluate", str(files["sigmoid"][".keras"]), "--data", str(tmp_path)) == 2
    assert "in the order dark, bright on 100.0 %" in capsys.readouterr().err
    # What can't be scored is not left behind, and what has no scores is told.
    data = ["--data", str(tmp_path), "--format", "float32"]
    file = tmp_path.parent / "scored.tflite"
    assert called("export", str(files["sigmoid"][".keras"]), *data, "--out", str(file)) == 2
    assert "in the order dark, bright on 100.0 %" in capsys.readouterr().err
    assert not file.exists()
    assert called("export", str(files[None][".keras"]), *data, "--out", str(file)) == 0
    assert "two classes of one logit by --classes bright,dark" in capsys.readouterr().err
    assert file.exists()
