"""A state dict with the published keys as `.safetensors`, for PyTorch and other frameworks."""

from __future__ import annotations

from keras_kd.exporters.formats._state_dict import IO, NEEDS_SAMPLES, TOLERANCE, run, write

SUFFIX = ".safetensors"
__all__ = ["IO", "NEEDS_SAMPLES", "SUFFIX", "TOLERANCE", "run", "write"]
