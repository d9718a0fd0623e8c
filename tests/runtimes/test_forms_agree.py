"""One classifier in every form of file scores as itself, or a sentence says why not."""

import tempfile
from dataclasses import dataclass
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
RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))


@dataclass(frozen=True)
class Case:
    """A stranger's model.

    Attributes:
        order: of its outputs.
        end: what its last layer makes of logits.
        limits: the values it was trained on for pixels 0 and 255.
        channels: 1 or 3.
        named: whether a labels.txt lies beside its files.
        stated: whether its user states the pixels.
    """

    order: tuple[str, ...]
    end: str
    limits: tuple[float, float]
    channels: int
    named: bool
    stated: bool


cases = st.builds(
    Case,
    order=st.permutations(CLASSES).map(tuple),
    end=st.sampled_from(["linear", "softmax", "sigmoid"]),
    limits=st.sampled_from(RANGES),
    channels=st.sampled_from([1, 3]),
    named=st.booleans(),
    stated=st.booleans(),
)


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(case=cases)
def test_a_classifier_scores_as_itself_in_every_form_or_a_sentence_says_why_not(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        pixels, labels = _written(data, case.channels)
        model = _model(case)
        own = _own_accuracy(model, case, pixels, labels)
        stated = Stated(
            pixels=PixelValues(case.limits) if case.stated else None,
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
            assert answered == len(FORMS)


FORMS = ("model.keras", "model.h5", "saved", "float.tflite", "int8.tflite", "io.tflite")


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


def _model(case: Case) -> keras.Model:
    """The nearest mean colour: logits are linear in it."""
    low, high = case.limits
    kernel = _centres(case.channels)[[CLASSES.index(name) for name in case.order]]
    dense = layers.Dense(len(CLASSES), activation=case.end)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, case.channels)),
            layers.GlobalAveragePooling2D(),
            dense,
        ]
    )
    # Sigmoids that all round to 1 would have no highest.
    steep = 10 if case.end == "sigmoid" else 60
    scale, bias = steep / (high - low), -steep / 2 * (kernel**2).sum(1)
    dense.set_weights([scale * kernel.T, bias - scale * low * kernel.sum(1)])
    return model


def _own_accuracy(model: keras.Model, case: Case, pixels: np.ndarray, labels: np.ndarray) -> float:
    answers = model.predict(_taken(case, pixels), verbose=0).argmax(1)
    names = np.array(case.order)[answers]
    return float(np.mean(names == np.array(CLASSES)[labels]))


def _taken(case: Case, pixels: np.ndarray) -> np.ndarray:
    low, high = case.limits
    return (pixels / 255 * (high - low) + low).astype(np.float32)


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
    if case.named:
        (folder / "labels.txt").write_text("\n".join(case.order))
    return [folder / form for form in FORMS]
