"""PyTorch's state dict with the published keys, `.pth`. Needs the extra `torch`; the format
safetensors needs none.
"""

from __future__ import annotations

from keras_kd.exporters.formats._state_dict import IO, NEEDS_SAMPLES, TOLERANCE, run, write

SUFFIX = ".pth"
__all__ = ["IO", "NEEDS_SAMPLES", "SUFFIX", "TOLERANCE", "run", "write"]
