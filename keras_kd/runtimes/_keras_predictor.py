"""Keras models, and SavedModel folders as Keras runs them, as predictors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._common.folders import files_below
from keras_kd._common.text import first_line
from keras_kd._common.user_warnings import warn
from keras_kd.errors import ModelError
from keras_kd.models import fingerprints, heads
from keras_kd.models.inference import COMPUTE_APART, DEPENDS, depends_on_batch
from keras_kd.models.output_kinds import images_of_noise
from keras_kd.models.spec import ModelSpec, require_whole_pixels
from keras_kd.models.surgery.compaction import compact, expand
from keras_kd.models.surgery.keras_internals import is_graph
from keras_kd.models.surgery.precision import in_precision
from keras_kd.models.untrained import is_untrained
from keras_kd.runtimes import saved_model
from keras_kd.runtimes._file_predictor import FilePredictor, shown
from keras_kd.runtimes._file_shapes import columns, require_known, require_shape, sized
from keras_kd.runtimes.multiply_accumulates import of_model

BATCH_SIZE = 128  # ResEmoteNet on two cores: 1.3 times the rate of 256, whose maps leave the cache


class KerasPredictor(FilePredictor):
    """A Keras model, compacted, on Keras' backend.

    Args:
        model: one image input; one output of logits or probabilities, or several by name of which
            at most one is such and the others are values (N, 1).
        spec: what it takes and gives; `input_shape` must be known.
        precision: a dtype policy to compute in, or "auto"; None for the model's own.
        batch_size: images a step.
        head: the output of classes, of several.
    """

    def __init__(
        self,
        model: keras.Model,
        spec: ModelSpec,
        precision: str | None = None,
        batch_size: int = BATCH_SIZE,
        head: str | None = None,
    ) -> None:
        if len(model.input_shape) != 4:
            raise ModelError(
                f"The model takes inputs of shape {tuple(model.input_shape[1:])}: expected images,"
                " (height, width, channels)."
            )
        require_known(spec)
        require_shape(tuple(model.input_shape[1:]), spec)
        outputs = heads.by_name(model, heads.structure(model))
        # Text, as the name of the likeliest class, is no number of any kind.
        shapes = {
            name: tuple(output.shape[1:])
            for name, output in outputs.items()
            if output.dtype != "string"
        }
        if not keras.backend.is_float_dtype(model.inputs[0].dtype):
            require_whole_pixels(spec)
            self.takes_whole_numbers = True
        self.is_untrained = is_untrained(model)
        self.spec = spec
        self._rows = columns(shapes, head)
        self._know(self._rows, head)
        self._know_kind(lambda name: heads.output_kind(model, name))
        # Also where there are too few images to show it.
        if self.graph_kind == "probabilities" and heads.takes_softmax_twice(model, self.head):
            self._tell_softmax_twice()
        self.content = [fingerprints.of_model(model)]
        if len(shapes) > 1:
            self.content += shapes  # Their names, which tell which output is which.
        # Weights that no pixel reaches would be multiplied by zeros in every prediction.
        small = compact(model) if is_graph(model) else model
        self._model = small if precision is None else in_precision(small, precision)
        self._batch_size = batch_size
        if depends_on_batch(model, shown(images_of_noise(spec.input_shape), spec)):
            warn(
                f"The model {DEPENDS}, so its answers and scores change with the batches:"
                f" {COMPUTE_APART}."
            )

    @property
    def multiply_accumulates(self) -> int | None:
        """Of the published shape for one image; None on other backends than TensorFlow, or where
        they can't be seen.
        """
        # Shapes that are left open, or operations inside a SavedModel.
        hidden = any(isinstance(layer, keras.layers.TFSMLayer) for layer in self._model.layers)
        if (
            keras.backend.backend() != "tensorflow"
            or None in self._model.inputs[0].shape[1:]
            or hidden
        ):
            return None
        try:
            return of_model(expand(self._model) if is_graph(self._model) else self._model)
        except (TypeError, ValueError):
            # A foreign model may leave shapes open; it can be used without this number.
            return None

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = heads.by_name(self._model, self._computed(pixels))
        return {name: np.asarray(outputs[name]).reshape(len(pixels), -1) for name in self._rows}

    def _computed(self, pixels: np.ndarray) -> Any:
        # Keras' `predict` first builds a pipeline of data sets, which takes longer than a batch of
        # a small model. Of several replicas each would compute the whole batch without it.
        if 0 < len(pixels) <= self._batch_size and _replicas(self._model) == 1:
            return self._model.predict_on_batch(pixels)
        return self._model.predict(pixels, batch_size=self._batch_size, verbose=0)


def _replicas(model: keras.Model) -> int:
    """Number of replicas that share each batch of a model, under `tf.distribute`."""
    strategy = getattr(model, "distribute_strategy", None)
    return strategy.num_replicas_in_sync if strategy else 1


def of_saved_model(path: Path, spec: ModelSpec, head: str | None) -> KerasPredictor:
    """A SavedModel folder as a predictor."""
    model = saved_model.load(path)
    spec = sized(spec, tuple(model.input_shape[1:]))
    batch_size = model.input_shape[0] or BATCH_SIZE
    predictor = KerasPredictor(model, spec, batch_size=batch_size, head=head)
    # Keras sees one layer around the whole graph.
    predictor._know_kind(lambda name: saved_model.output_kind(model, name))
    # The folder's graph counts besides its weights.
    files = [file for file in files_below(path) if file.is_file()]
    predictor.content = [file.read_bytes() for file in files]
    _require_steady(predictor)
    return predictor


def _require_steady(predictor: KerasPredictor) -> None:
    """Refuse a folder whose outputs for the same images differ, which its graph does not show."""
    noise = np.random.default_rng(0).integers(0, 256, (4, *predictor.spec.input_shape), np.uint8)

    def computed(images: np.ndarray) -> np.ndarray:
        # Untouched outputs, as whether they are logits is not decided yet.
        return np.concatenate([*predictor._outputs(shown(images, predictor.spec)).values()], -1)

    try:
        first, second = computed(noise), computed(noise)
    except Exception as error:  # Foreign operations raise anything.
        size = "x".join(map(str, predictor.spec.input_shape))
        try:
            computed(noise[:1])
        except Exception as alone:
            raise ModelError(
                f"The SavedModel can't compute an image of {size} ({_reason(alone)}): state the"
                " size that it was made for by --input, or mend the function that is exported."
            ) from alone
        raise ModelError(
            f"The SavedModel can't compute {len(noise)} images of {size} at once"
            f" ({_reason(error)}): export a function of any number of images."
        ) from error
    # An untrained model's outputs may be next to equal.
    spread = max(float(np.ptp(first)), 1e-3)
    if np.abs(first - second).max() > 1e-3 * spread:
        raise ModelError(
            "The SavedModel gives other outputs for the same images each time, as if augmentation "
            "were on: write the folder by `kerakd export MODEL.keras --format saved_model`,"
            " or call the model with training=False in what is exported."
        )


def _reason(error: Exception) -> str:
    """Why a SavedModel can't compute; Keras adds to what its operations say."""
    return first_line(error, "failed due to: ").partition(" for ")[0]
