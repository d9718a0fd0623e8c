"""What of an int8 file depends on the machine: the type of its first convolution.

Which is faster depends on the processor's instructions, so both are timed where the file is made.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from keras_kd.errors import ExportError
from keras_kd.exporters._tflite_passes import integer_pixels
from keras_kd.runtimes import timing
from keras_kd.runtimes.litert import LiteRTModel

# A smaller gain is not worth the rounding of its kernel.
LEAST_GAIN = 0.02
_SECONDS = 3.0
_FORMAT, _IO = "int8", "app"


@dataclass(frozen=True)
class Choice:
    """The type of the first convolution, and why.

    Attributes:
        first_convolution: "int8" or "float32".
        float32: milliseconds of the processor's time for one image on one thread, with float32.
        int8: the same with int8; None where there is no such form.
    """

    first_convolution: str
    float32: float
    int8: float | None

    def __str__(self) -> str:
        if self.int8 is None:
            return (
                "its first convolution is float32: the int8 form is for gray images (app_input with"
                " one channel), in rows of an even number of outputs"
            )
        return (
            f"its first convolution is {self.first_convolution}: on one thread of the machine that"
            f" made it an image takes {self.int8:.3g} ms in int8, {self.float32:.3g} ms in float32"
        )


def require_choice(format: str, io: str) -> None:
    """Check that there is something to choose.

    Args:
        format: the format's name.
        io: "float", "app" or "int8".

    Raises:
        ExportError: there is not.
    """
    if (format, io) != (_FORMAT, _IO):
        raise ExportError(
            "Measuring chooses the first convolution of int8 files that take pixels: use the format"
            f" {_FORMAT} with io={_IO!r}, or don't measure. Received: format={format!r}, io={io!r}."
        )


def keep_faster(path: Path) -> Choice:
    """Time an int8 file, and the same with its first convolution in int8; keep the faster.

    Args:
        path: the file, without archives at its end; it is overwritten if int8 is faster by more
            than LEAST_GAIN.

    Returns:
        What was chosen.
    """
    content = path.read_bytes()
    changed = integer_pixels.with_integer_pixels(content)
    models = [LiteRTModel(path, trusted=True)]
    if changed is not content:
        with tempfile.TemporaryDirectory() as folder:
            other = Path(folder) / path.name
            other.write_bytes(changed)
            models.append(LiteRTModel(other, trusted=True))
    times = timing.medians([model.compute for model in models], _SECONDS)
    return _chosen(path, changed, *times)


def _chosen(path: Path, changed: bytes, before: float, after: float | None = None) -> Choice:
    if after is None or after > before * (1 - LEAST_GAIN):
        return Choice("float32", before, after)
    path.write_bytes(changed)
    return Choice("int8", before, after)
