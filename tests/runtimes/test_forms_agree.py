"""One classifier in every form of file scores as itself, or a sentence says why not."""

import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keras import layers
from PIL import Image

from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import KerasKDError
from keras_kd.evaluation.scoring import evaluate
from keras_kd.runtimes.stated import Stated

SIDE, IMAGES = 8, 14
CLASSES = ("ant", "bee", "cat", "dog")
RANGES = (
    PixelValues(),
    PixelValues((0.0, 1.0)),
    PixelValues((-1.0, 1.0)),
    PixelValues((0.0, 1.0), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    PixelValues(mean=(103.939, 116.779, 123.68), channel_order="bgr"),
    PixelValues((0.0, 1.0), (0.5,), (0.5,)),
)


@dataclass(frozen=True)
class Case:
    """A stranger's model.

    Attributes:
        order: of its outputs.
        end: what its last layer makes of logits.
        limits: the values it was trained on for pixels.
        channels: 1 or 3.
        first: whether the channels come before height and width.
        named: whether a labels.txt lies beside its files.
        stated: whether its user states the pixels.
    """

    order: tuple[str, ...]
    end: str
    limits: PixelValues
    channels: int
    first: bool
    named: bool
    stated: bool

    def __post_init__(self) -> None:
        if self.channels == 1:  # three numbers are of three channels
            limits = PixelValues(self.limits.value_range, self.limits.mean[:1], self.limits.std[:1])
            object.__setattr__(self, "limits", limits)

    def forms(self) -> tuple[str, ...]:
        """Return the names of its files; Keras' own can't have the channels first."""
        return tuple(form for form in FORMS if not self.first or form not in OF_KERAS)


cases = st.builds(
    Case,
    order=st.permutations(CLASSES).map(tuple),
    end=st.sampled_from(["linear", "softmax", "log_softmax", "sigmoid"]),
    limits=st.sampled_from(RANGES),
    channels=st.sampled_from([1, 3]),
    first=st.booleans(),
    named=st.booleans(),
    stated=st.booleans(),
)
drawn = settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    database=None,
    suppress_health_check=list(HealthCheck),
)


@drawn
@given(case=cases)
def test_a_classifier_scores_as_itself_in_every_form_or_a_sentence_says_why_not(case: Case) -> None:
    _require_itself(case)


@pytest.mark.slow
@settings(drawn, max_examples=60)
@given(case=cases)
def test_many_classifiers_score_as_themselves_in_every_form(case: Case) -> None:
    _require_itself(case)


@pytest.mark.slow
@pytest.mark.parametrize("limits", RANGES, ids=str)
@pytest.mark.parametrize("end", ["linear", "softmax", "log_softmax", "sigmoid"])
@pytest.mark.parametrize("first", [False, True])
def test_every_output_and_every_range_that_is_stated_is_read_in_every_form(
    end: str, limits: PixelValues, first: bool
) -> None:
    _require_itself(Case(("cat", "ant", "dog", "bee"), end, limits, 3, first, True, True))


def _require_itself(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        pixels, labels = _written(data, case.channels)
        model = _model(case)
        own = _own_accuracy(model, case, pixels, labels)
        stated = Stated(
            pixels=case.limits if case.stated else None,
            output="probabilities" if case.end == "sigmoid" and case.stated else None,
        )
        answered = 0
        for path in _files(model, case, pixels, Path(folder)):
            try:
                found = evaluate([path], str(data), stated=[stated])["test"]["accuracy"]
            except KerasKDError as told:
                assert len(str(told).splitlines()) == 1
                continue
            answered += 1
            assert found == pytest.approx(own, abs=1e-3), path.name
        if case.stated and case.named:
            assert answered == len(case.forms())


OF_KERAS = ("model.keras", "model.h5", "saved")
FORMS = (*OF_KERAS, "float.tflite", "int8.tflite", "io.tflite")
FORMS += ("model.onnx",) * bool(find_spec("onnx") and find_spec("onnxruntime"))


def _written(folder: Path, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of one colour a class, some of them in a wrong folder; (N, SIDE, SIDE, C) and their
    classes, of the test split.
    """
    random, found = np.random.default_rng(0), []
    for split in ("train", "validation", "test"):
        for label, name in enumerate(CLASSES):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(IMAGES):
                shown = label if number else (label + 1) % len(CLASSES)
                noise = random.normal(0, 20, (SIDE, SIDE, channels))
                image = np.clip(255 * _centres(channels)[shown] + noise, 0, 255).astype(np.uint8)
                Image.fromarray(image.squeeze()).save(place / f"{number}.png")
                found += [(image, label)] if split == "test" else []
    pixels, labels = zip(*found, strict=True)
    return np.stack(pixels), np.array(labels)


def _centres(channels: int) -> np.ndarray:
    if channels == 1:
        return np.linspace(0.15, 0.85, len(CLASSES))[:, None]
    return np.array([[0.8, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 0.8], [0.7, 0.7, 0.3]])


def _weights(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """(channels, classes) and (classes,) that make logits of the mean values the model takes: the
    nearest mean colour is linear in them.
    """
    kernel = _centres(case.channels)[[CLASSES.index(name) for name in case.order]]
    # Sigmoids that all round to 1 would have no highest.
    steep = 10 if case.end == "sigmoid" else 60
    scale, shift = _affine(case)
    kernel = kernel[:, ::-1] if case.limits.channel_order == "bgr" else kernel
    return (steep * kernel / scale).T, -steep * ((kernel**2).sum(1) / 2 + kernel @ (shift / scale))


def _affine(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of shares 0..1 of brightness, in the model's order of channels."""
    (low, high), none = case.limits.value_range, np.zeros(case.channels)
    mean, deviation = none + (case.limits.mean or 0), none + (case.limits.std or 1)
    return (high - low) / deviation, (low - mean) / deviation


def _model(case: Case) -> keras.Model:
    shape = (SIDE, SIDE, case.channels)
    image = keras.Input(shape[-1:] + shape[:2] if case.first else shape)
    x = layers.Permute((2, 3, 1))(image) if case.first else image
    dense = layers.Dense(len(CLASSES), activation=case.end)
    model = keras.Model(image, dense(layers.GlobalAveragePooling2D()(x)))
    dense.set_weights(list(_weights(case)))
    return model


def _own_accuracy(model: keras.Model, case: Case, pixels: np.ndarray, labels: np.ndarray) -> float:
    answers = model.predict(_taken(case, pixels), verbose=0).argmax(1)
    names = np.array(case.order)[answers]
    return float(np.mean(names == np.array(CLASSES)[labels]))


def _taken(case: Case, pixels: np.ndarray) -> np.ndarray:
    """What the model takes, (N, ...)."""
    pixels = pixels[..., ::-1] if case.limits.channel_order == "bgr" else pixels
    scale, shift = _affine(case)
    taken = (pixels / 255 * scale + shift).astype(np.float32)
    return taken.transpose(0, 3, 1, 2) if case.first else taken


def _files(model: keras.Model, case: Case, pixels: np.ndarray, folder: Path) -> list[Path]:
    """The model in all FORMS, by Keras' and TensorFlow's own means, as its maker would save it."""
    import tensorflow as tf

    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    model.export(folder / "saved", verbose=False)
    for name in ("float", "int8", "io"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
        if name != "float":
            samples = _taken(case, pixels)[:, None]
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda samples=samples: ([one] for one in samples)
        if name == "io":
            converter.inference_input_type = converter.inference_output_type = tf.int8
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    if "model.onnx" in FORMS:
        _write_onnx(case, folder / "model.onnx")
    if case.named:
        (folder / "labels.txt").write_text("\n".join(case.order))
    return [folder / form for form in case.forms()]


def _write_onnx(case: Case, path: Path) -> None:
    """By the format's own library."""
    import onnx

    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    shape = [SIDE, SIDE, case.channels]
    shape = [1, *(shape[-1:] + shape[:2] if case.first else shape)]
    kernel, bias = (part.astype(np.float32) for part in _weights(case))
    ends = {"linear": "Identity", "softmax": "Softmax", "sigmoid": "Sigmoid"}
    axes = [2, 3] if case.first else [1, 2]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["means"], axes=axes, keepdims=0),
        helper.make_node("Gemm", ["means", "kernel", "bias"], ["sums"]),
        helper.make_node(ends.get(case.end, "LogSoftmax"), ["sums"], ["classes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "strange",
        [helper.make_tensor_value_info("image", floats, shape)],
        [helper.make_tensor_value_info("classes", floats, [1, len(CLASSES)])],
        [
            onnx.numpy_helper.from_array(kernel, "kernel"),
            onnx.numpy_helper.from_array(bias, "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
