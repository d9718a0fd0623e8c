"""What models take for pixels, against the formulas of torchvision, Caffe and Keras."""

import keras
import numpy as np
import pytest

from keras_kd.datasets.pixel_values import PixelValues, from_facts, from_parts, pixel_values
from keras_kd.errors import ConfigError

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), np.uint8)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("mode", ["tf", "torch", "caffe"])
def test_keras_own_preprocessing_can_be_stated(mode: str) -> None:
    stated = {
        "tf": from_parts(value_range=(-1, 1)),
        "torch": from_parts(mean=MEAN, std=STD),
        "caffe": from_parts(mean=(103.939, 116.779, 123.68), channel_order="bgr"),
    }[mode]
    expected = keras.applications.imagenet_utils.preprocess_input(
        IMAGES.astype("float64"), mode=mode
    )
    np.testing.assert_allclose(stated.of(IMAGES), expected, atol=1e-4)
    np.testing.assert_allclose(stated.pixels(stated.of(IMAGES)), IMAGES, atol=1e-2)
    tensor = keras.ops.convert_to_tensor(IMAGES.astype("float32"))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(stated.of(tensor)), expected, atol=1e-4)
    assert from_facts(stated.facts()) == stated
    if mode != "tf":  # whose range is stated
        assert PixelValues(mean=stated.mean, std=stated.std).value_range == stated.value_range


def test_plain_pixels_stay_as_they_are() -> None:
    assert PixelValues().of(IMAGES) is IMAGES
    assert from_parts() is None and pixel_values((0, 1)) == PixelValues((0.0, 1.0))


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"mean": (1, 2)}, "mean must be one number, or three"),
        ({"std": (0.2, 0, 0.2)}, "std must be above 0"),
        ({"value_range": (float("nan"),) * 2}, "range must be two different numbers"),
        ({"value_range": (1, 1)}, "range must be two different numbers"),
        ({"channel_order": "gbr"}, "channel_order must be rgb or bgr"),
    ],
)
def test_what_cannot_be_is_refused(stated: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PixelValues(**stated)


def test_three_means_do_not_fit_a_gray_model() -> None:
    with pytest.raises(ConfigError, match="mean has 3 numbers, and the model takes 1 channels"):
        PixelValues(mean=MEAN).of(IMAGES[..., :1])
