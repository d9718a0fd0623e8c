"""Files that are no classifier are named as what they are, from public trackers: see
docs/reliability.md.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from keras import layers
from small_classifier import PIXELS, classifier

from keras_kd.errors import ModelError
from keras_kd.runtimes import predictors


def _two_inputs(folder: Path) -> Path:
    one, two = keras.Input((8, 8, 3)), keras.Input((4,))
    flat = layers.Concatenate()([layers.Flatten()(one), two])
    return _saved(keras.Model([one, two], layers.Dense(3)(flat)), folder)


def _map(folder: Path) -> Path:
    image = keras.Input((8, 8, 3))
    return _saved(keras.Model(image, layers.Conv2D(3, 1, activation="softmax")(image)), folder)


def _channels_first(folder: Path) -> Path:
    image = keras.Input((3, 8, 8))
    return _saved(keras.Model(image, layers.Dense(3)(layers.Flatten()(image))), folder)


def _flat(folder: Path) -> Path:
    image = keras.Input((192,))
    return _saved(keras.Model(image, layers.Dense(3)(image)), folder)


def _saved(model: keras.Model, folder: Path) -> Path:
    model.save(folder / "model.keras")
    return folder / "model.keras"


def _weights(folder: Path) -> Path:
    classifier().save_weights(folder / "model.weights.h5")
    return folder / "model.weights.h5"


def _lambda(folder: Path) -> Path:
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)])
    model.add(layers.Lambda(lambda x: x * 2))
    model.save(folder / "model.h5")
    return folder / "model.h5"


def _no_signature(folder: Path) -> Path:
    import tensorflow as tf

    module = tf.Module()
    module.weights = tf.Variable(1.0)
    tf.saved_model.save(module, str(folder / "saved"))
    return folder / "saved"


def _pointer(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n"
        (folder / name).write_text(text)
        return folder / name

    return write


def _page(folder: Path) -> Path:
    (folder / "model.h5").write_text("<!DOCTYPE html><html><body>Quota exceeded</body></html>")
    return folder / "model.h5"


def _renamed(old: str, new: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        classifier().save(folder / f"a.{old}")
        return (folder / f"a.{old}").rename(folder / f"b.{new}")

    return write


def _other(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(b"anything that is no model of Keras")
        return folder / name

    return write


def _folder(*names: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        for name in names:
            (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "model" / name).write_bytes(b"")
        return folder / "model"

    return write


def _folder_of_a_file(folder: Path) -> Path:
    classifier().export(folder / "saved", verbose=False)
    return folder / "saved" / "saved_model.pb"


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_two_inputs, "2 inputs"),
        (_map, r"8, 8, 3"),
        (_channels_first, "channels first|3, 8, 8"),
        (_flat, "192"),
        (_weights, r"weights without a model.*model\.save"),
        (_lambda, "Lambda"),
        (_no_signature, "serving_default"),
        (_pointer("model.h5"), "Git LFS"),
        (_pointer("model.keras"), "Git LFS"),
        (_pointer("model.tflite"), "Git LFS"),
        (_page, "HTML"),
        (_renamed("h5", "keras"), "HDF5.*call it .*h5"),
        (_renamed("keras", "h5"), "call it .*keras"),
        (_other("model.pth"), "kerakd import"),
        (_other("model.pb"), "SavedModel"),
        (_folder_of_a_file, "folder"),
        (_other("model.json"), "model.json"),
        (_renamed("keras", "KERAS"), r"call it b\.keras"),
        (_renamed("keras", "keras.zip"), r"call it b\.keras"),
        (_renamed("keras", "bin"), r"call it b\.keras"),
        (_renamed("h5", "ckpt"), r"HDF5.*call it b\.h5"),
        (_other("model.ONNX"), r"capitals: call it model\.onnx"),
        (_other("model.ckpt"), "bring PyTorch's .*import`; if they are Keras', load them into"),
        (_other("model.mlmodel"), r"Core ML.*\.onnx file"),
        (_folder("config.json", "model.weights.h5", "task.weights.h5"), "preset of KerasHub"),
        (_folder("checkpoint", "model.index"), "weights alone"),
        (_folder("1/saved_model.pb", "2/saved_model.pb"), r"lies in it \(1, 2\)"),
        (_folder("model.tflite.part", "deep.keras"), r"lies in it \(deep\.keras\)"),
    ],
)
def test_files_that_are_no_classifier_are_named_as_what_they_are(
    write: Callable[[Path], Path], words: str, tmp_path: Path
) -> None:
    path = write(tmp_path)
    with pytest.raises(ModelError, match=words) as told:
        predictors.load(path).logits(PIXELS)
    assert len(str(told.value).splitlines()) == 1
