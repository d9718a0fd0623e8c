"""Situations of strangers' model files, from public trackers: see docs/reliability.md."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from keras_kd.datasets import class_names
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError
from keras_kd.evaluation import on_device, operator_times
from keras_kd.evaluation._single_image import single_run
from keras_kd.exporters import guide
from keras_kd.runtimes import predictors
from keras_kd.runtimes.stated import Stated

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
NAMES = ("angry", "happy", "sad")
KERNEL = np.random.default_rng(1).normal(size=(2, 2, 3, 4)).astype(np.float32)


def _model(*end: layers.Layer, units: int = 3) -> keras.Model:
    keras.utils.set_random_seed(1)
    stack = [layers.GlobalAveragePooling2D(), layers.Dense(units), *end]
    return keras.Sequential([keras.Input((8, 8, 3)), *stack])


@pytest.fixture(scope="module")
def tflite() -> bytes:
    """A float `.tflite` of `_model()` without metadata, as TensorFlow's converter writes it."""
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(_model()).convert()


@pytest.mark.parametrize(
    ("mean", "std", "pixels"),
    [
        ((127.5,), (127.5,), PixelValues((-1, 1))),
        ((0.0,), (255.0,), PixelValues((0, 1))),
        ((0.0,), (1.0,), PixelValues()),
        ((120.0, 110.0, 100.0), (60.0, 50.0, 40.0), None),
    ],
)
def test_the_normalisation_in_a_tflite_s_metadata_is_followed(
    mean: tuple[float, ...],
    std: tuple[float, ...],
    pixels: PixelValues | None,
    tflite: bytes,
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(_with_normalization(tflite, mean, std))
    found = predictors.load(path)
    assert found.spec.pixels == (pixels or PixelValues(mean=mean, std=std))
    shown = ((PIXELS - np.array(mean)) / np.array(std)).astype(np.float32)
    np.testing.assert_allclose(found.logits(PIXELS), _model().predict(shown, verbose=0), atol=1e-3)


def test_metadata_that_contradicts_itself_is_told(tflite: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    whole = _with_normalization(tflite, (127.5,), (127.5,))
    path.write_bytes(whole.replace(b"M001", b"M001\xff\xff\xff\x7f"[:4], 1))
    assert predictors.load(path).spec.pixels == PixelValues((-1, 1))
    path.write_bytes(_with_normalization(tflite, (1.0,), (0.0,)))
    with pytest.raises(Exception, match="std must be above 0"):
        predictors.load(path)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0: angry\n1: happy\n2: sad\n", NAMES),
        ("0,angry\r\n1,happy\r\n2,sad\r\n", NAMES),
        ("1 angry\n2 happy\n3 sad", NAMES),
        ("0\tangry\n1\thappy\n2\tsad\n", NAMES),
        ("0 stars\n1 stars\n2 stars\n", ("0 stars", "1 stars", "2 stars")),
        ("2 cats\n3 dogs\n4 cows\n", ("2 cats", "3 dogs", "4 cows")),
    ],
)
def test_numbers_before_labels_are_no_part_of_them(
    text: str, names: tuple[str, ...], tflite: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labelmap.txt", "\ufeff" + text)
    assert predictors.load(path).spec.class_names == names
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8-sig")
    assert tuple(class_names.read(tmp_path / "labels.txt")) == names


def test_hdf5_is_another_name_of_h5(tmp_path: Path) -> None:
    _model(layers.Softmax()).save(tmp_path / "model.h5")
    path = (tmp_path / "model.h5").rename(tmp_path / "model.hdf5")
    found = predictors.load(path)
    assert found.spec.output == "probabilities"
    expected = np.log(_model(layers.Softmax()).predict(PIXELS.astype("float32"), verbose=0) + 1e-7)
    np.testing.assert_allclose(found.logits(PIXELS), expected, atol=1e-3)


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
    _model().save_weights(folder / "model.weights.h5")
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
        _model().save(folder / f"a.{old}")
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
    _model().export(folder / "saved", verbose=False)
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


def test_a_convolution_at_the_end_gives_rows_too(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Conv2D(3, 8)(image))
    expected = model.predict(PIXELS.astype("float32"), verbose=0)[:, 0, 0]
    found = predictors.load(_saved(model, tmp_path)).logits(PIXELS)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_outputs_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    model = _model(layers.Softmax())
    model.layers[1].set_weights([np.full((3, 3), np.nan), np.zeros(3)])
    model.save(tmp_path / "model.keras")
    try:
        logits = predictors.load(tmp_path / "model.keras").logits(PIXELS)
    except ModelError as told:
        assert "NaN" in str(told) or "number" in str(told)
    else:
        assert np.isnan(logits).all()


def _with_normalization(content: bytes, mean: tuple[float, ...], std: tuple[float, ...]) -> bytes:
    """A `.tflite` with the metadata that MediaPipe's writer gives an image classifier."""
    builder = flatbuffers.Builder(256)
    options = _table(builder, {0: _numbers(builder, mean), 1: _numbers(builder, std)})
    process = _table(builder, {1: options}, {0: 1})
    tensor = _table(builder, {4: _list(builder, [process])})
    graph = _table(builder, {2: _list(builder, [tensor])})
    builder.Finish(_table(builder, {3: _list(builder, [graph])}), b"M001")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    model.buffers.append(schema.BufferT(data=builder.Output()))
    entry = schema.MetadataT(name="TFLITE_METADATA", buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]
    whole = flatbuffers.Builder(len(content))
    whole.Finish(model.Pack(whole), b"TFL3")
    return bytes(whole.Output())


def _table(
    builder: flatbuffers.Builder, offsets: dict[int, int], numbers: dict[int, int] | None = None
) -> int:
    builder.StartObject(1 + max([*offsets, *(numbers or {})]))
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, number in (numbers or {}).items():
        builder.PrependUint8Slot(slot, number, 0)
    return builder.EndObject()


def _list(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _numbers(builder: flatbuffers.Builder, values: tuple[float, ...]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return builder.EndVector()


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0)])
def test_an_int16_input_spans_both_signs_and_does_not_tell_its_pixels(
    low: float, high: float, tmp_path: Path
) -> None:
    import tensorflow as tf

    model, pixels = _model(), PixelValues((low, high))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([pixels.of(image[None])] for image in PIXELS)
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]
    converter.inference_input_type = converter.inference_output_type = tf.int16
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(ModelError, match="int16 that stands for .* -1 to 1, .* assumed"):
        predictors.load(path)
    found = predictors.load(path, Stated(pixels=pixels)).logits(PIXELS)
    expected = model.predict(pixels.of(PIXELS), verbose=0)
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((1, 8, 8, 4), r"shape \(8, 8, 4\): expected height, .* channels of gray or RGB"),
        ((None, None, None, 3), r"shapes \[\(-1, -1, -1, 3\)\]: expected .* which one by --input"),
        ((1, 8, 8), r"inputs of shapes \[\(1, 8, 8\)\]: expected images of one fixed shape"),
    ],
)
def test_inputs_that_are_no_images_of_one_size_are_told_by_their_shape(
    shape: tuple[int | None, ...], told: str, tmp_path: Path
) -> None:
    import tensorflow as tf

    def values(image: tf.Tensor) -> tf.Tensor:
        # A window of 2x2 doesn't fit the 1x1 that TensorFlow writes for an open size.
        map = image[..., :3] if len(shape) == 4 else image[..., None]
        map = tf.nn.conv2d(map, tf.ones((2, 2, map.shape[-1], 3)), 1, "VALID")
        return tf.reduce_mean(map, axis=(1, 2))

    function = tf.function(values, input_signature=[tf.TensorSpec(shape, tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(ModelError, match=told):
        predictors.load(path)


@pytest.mark.parametrize("channels_first", [False, True])
def test_a_tflite_of_open_size_takes_the_size_that_is_stated(
    channels_first: bool, tmp_path: Path
) -> None:
    import tensorflow as tf

    def values(image: tf.Tensor) -> tf.Tensor:
        image = tf.transpose(image, (0, 2, 3, 1)) if channels_first else image
        return tf.reduce_mean(tf.nn.conv2d(image, KERNEL, 1, "VALID"), axis=(1, 2))

    shape = [None, 3, None, None] if channels_first else [None, None, None, 3]
    function = tf.function(values, input_signature=[tf.TensorSpec(shape, tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    predictor = predictors.load(path, Stated(input_shape=(6, 9, 3), output="logits"))
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 9, 3), dtype=np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(images.astype(float), (2, 2), (1, 2))
    expected = np.einsum("nhwcyx,yxco->no", windows, KERNEL) / (5 * 8)
    np.testing.assert_allclose(predictor.logits(images), expected, rtol=1e-4)
    # The graph's own shapes have 1 for each side that is open.
    assert predictor.multiply_accumulates is None
    single_run(path, 1, (6, 9, 3))()
    assert (
        predictor.fingerprint
        != predictors.load(path, Stated(input_shape=(6, 6, 3), output="logits")).fingerprint
    )
    for needing_one_size in (guide.facts, operator_times.measure, on_device.measure):
        with pytest.raises(ModelError, match="leaves sides of .* convert the model for it"):
            needing_one_size(path)
    with pytest.raises(ModelError, match=r"where -1 is any size, .* \(6, 9, 1\): check --input"):
        predictors.load(path, Stated(input_shape=(6, 9, 1)))
    with pytest.raises(ModelError, match=r"can't compute images of 1x1x3 .* larger --input"):
        predictors.load(path, Stated(input_shape=(1, 1, 3)))


def test_a_size_that_is_stated_and_not_the_files_own_is_refused(
    tflite: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite)
    with pytest.raises(ModelError, match=r"shape \(8, 8, 3\), not images of shape \(9, 9, 3\)"):
        predictors.load(path, Stated(input_shape=(9, 9, 3)))


@pytest.mark.parametrize("limits", [(0, 1), (0, 255)])
def test_a_statement_that_contradicts_the_scale_of_the_input_is_refused(
    limits: tuple[int, int], tmp_path: Path
) -> None:
    import tensorflow as tf

    pixels, other = (PixelValues(one) for one in (limits, (0, 256 - limits[1])))
    ends = np.stack([np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)])
    converter = tf.lite.TFLiteConverter.from_keras_model(_model())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    shown = pixels.of(ends).astype(np.float32)
    converter.representative_dataset = lambda: ([image[None]] for image in shown)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    assert predictors.load(path).spec.pixels == pixels
    with pytest.raises(
        ModelError,
        match="takes uint8 that stands for .* stated to be .* quantize it again by",
    ):
        predictors.load(path, Stated(pixels=other))


def _with_map() -> keras.Model:
    """A model that also gives the map that Grad-CAM needs."""
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    map = layers.Conv2D(4, 3, name="map")(image)
    scores = layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(map))
    return keras.Model(image, {"map": map, "scores": scores})


@pytest.mark.parametrize("form", ["keras", "tflite", "saved_model", "onnx"])
def test_a_map_beside_the_classes_is_left_out_where_these_are_chosen(
    form: str, tmp_path: Path
) -> None:
    from keras_kd import exporters

    if form == "onnx":
        pytest.importorskip("tf2onnx", reason="the format onnx needs the extra onnx")
    model, path = _with_map(), tmp_path / f"model.{form}".removesuffix(".saved_model")
    if form == "keras":
        model.save(path)
    else:
        exporters.export(model, path, "float32" if form == "tflite" else form)
    with pytest.raises(ModelError, match="map has the shape .* so choose scores by --head"):
        predictors.load(path)
    with pytest.raises(ModelError, match="output map has the shape"):
        predictors.load(path, Stated(head="map"))
    found = predictors.load(path, Stated(head="scores"))
    expected = model.predict(PIXELS.astype(np.float32), verbose=0)["scores"]
    np.testing.assert_allclose(found.logits(PIXELS), expected, rtol=1e-4, atol=1e-3)
    assert found.values == ()


@pytest.mark.parametrize("form", ["tflite", "saved_model"])
def test_scores_that_are_sorted_are_no_classes(form: str, tmp_path: Path) -> None:
    import tensorflow as tf

    def best(image: tf.Tensor) -> dict[str, tf.Tensor]:
        scores, classes = tf.nn.top_k(tf.nn.softmax(tf.reduce_mean(image, axis=(1, 2))), 3)
        return {"scores": scores, "classes": classes}

    module, path = tf.Module(), tmp_path / "folder"
    module.serve = tf.function(
        best, input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32, name="image")]
    )
    tf.saved_model.save(module, str(path), signatures=module.serve)
    if form == "tflite":
        content = tf.lite.TFLiteConverter.from_saved_model(str(path)).convert()
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"sorted by its numbers \(top k\)"):
        predictors.load(path, Stated(head="scores"))
