"""A Keras 2 model wrapped for pruning, clustering and quantization by TensorFlow Model
Optimization.
"""

from __future__ import annotations

import sys

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_configs as configs,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_registry,
)

_WEIGHTED = (tf_keras.layers.Conv2D, tf_keras.layers.DepthwiseConv2D, tf_keras.layers.Dense)
_FEW_WEIGHTS = 500


def _worthwhile(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer has weights enough for pruning and clustering to be felt."""
    return isinstance(layer, _WEIGHTED) and layer.count_params() >= _FEW_WEIGHTS


def pruned(
    model: tf_keras.Model, kept: set[str], options: dict, images: int
) -> tf_keras.Model | None:
    """Wrap the layers for pruning by magnitude, up to the final share over the stage's steps."""
    if options["prune"] is None:
        return None
    steps = -(-images // options["batch_size"]) * options["epochs"]
    # Masks change every `frequency` steps; one of these must be the schedule's last, or the share
    # isn't reached.
    frequency = max(1, steps // 100)
    last = frequency * max(1, steps * 3 // 4 // frequency)
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, options["prune"], 0, last, frequency=frequency
    )

    def wrapped(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if layer.name in kept or not _worthwhile(layer):
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(layer, schedule)

    return tf_keras.models.clone_model(model, clone_function=wrapped)


def clustered(model: tf_keras.Model, kept: set[str], options: dict) -> tf_keras.Model | None:
    """Wrap the layers so that each has few different weights; zeros of pruning stay."""
    if options["cluster"] is None:
        return None
    centroids = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrapped(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if layer.name in kept or not _worthwhile(layer):
            return layer
        return tfmot.clustering.keras.cluster_weights(
            layer, options["cluster"], centroids, preserve_sparsity=options["prune"] is not None
        )

    return tf_keras.models.clone_model(model, clone_function=wrapped)


def callbacks(name: str) -> list[tf_keras.callbacks.Callback]:
    """What the library needs to be called back for in a stage."""
    return [tfmot.sparsity.keras.UpdatePruningStep()] if name == "pruned" else []


def stripped(name: str, wrapping: tf_keras.Model, options: dict) -> tf_keras.Model:
    """The model of a finished stage without its wrappers; ends the process where pruning fell
    short.
    """
    if name == "clustered":
        return tfmot.clustering.keras.strip_clustering(wrapping)
    bare = tfmot.sparsity.keras.strip_pruning(wrapping)
    zeros = [np.mean(layer.get_weights()[0] == 0) for layer in bare.layers if _worthwhile(layer)]
    if zeros and max(zeros) < options["prune"] - 0.01:
        sys.exit(
            f"only {max(zeros):.0%} of the weights were pruned: train for more epochs or with"
            " smaller batches"
        )
    return bare


def quantize(model: tf_keras.Model, kept: set[str], options: dict) -> tf_keras.Model:
    """Put fake quantization around all layers but the kept ones."""

    registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry()
    fused = _fused(model)

    def annotated(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if layer.name in kept:
            return layer
        # Of layers that the library doesn't know, the output alone is rounded.
        config = None if registry.supports(layer) else configs.Default8BitOutputQuantizeConfig()
        if layer.name in fused:
            config = None
        return tfmot.quantization.keras.quantize_annotate_layer(layer, config)

    with tfmot.quantization.keras.quantize_scope(
        {"Default8BitOutputQuantizeConfig": configs.Default8BitOutputQuantizeConfig}
    ):
        annotation = tf_keras.models.clone_model(model, clone_function=annotated)
        return tfmot.quantization.keras.quantize_apply(annotation, scheme(options))


def _fused(model: tf_keras.Model) -> set[str]:
    """Return the layers that the library quantizes in one with the layer before, or splits."""
    layers = tf_keras.layers
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    names = {layer.name for layer in model.layers if isinstance(layer, layers.SeparableConv2D)}
    for norm in norms:
        before = norm.inbound_nodes[0].inbound_layers
        if isinstance(before, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
            names.add(norm.name)
    return names


def scheme(options: dict) -> tfmot.quantization.keras.QuantizeScheme:
    """Return the scheme that keeps what the stages before have made."""
    combined = tfmot.experimental.combine
    if options["cluster"] is not None:
        return combined.Default8BitClusterPreserveQuantizeScheme(
            preserve_sparsity=options["prune"] is not None
        )
    if options["prune"] is not None:
        return combined.Default8BitPrunePreserveQuantizeScheme()
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_scheme,
    )

    return default_8bit_quantize_scheme.Default8BitQuantizeScheme()
