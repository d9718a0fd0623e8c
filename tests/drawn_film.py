"""Drawn pictures and films with drawn faces large enough to be found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

FACE = 160
# A face of 64 pixels is drawn at 160; the person's features fill some 110 of them.


def scene(face: np.ndarray, left: int = 240, top: int = 160, width: int = 640, height: int = 480) -> np.ndarray:
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
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def colour_model(folder: Path) -> Path:
    """Export a model whose logits are the means of red, green and blue over 25.5: classes r, g, b; 16x16 in."""
    import keras

    from keras_kd import export

    image = keras.Input((16, 16, 3))
    dense = keras.layers.Dense(3, use_bias=False, name="logits")
    model = keras.Model(image, dense(keras.layers.GlobalAveragePooling2D()(image)))
    dense.set_weights([np.eye(3, dtype=np.float32) / 25.5])
    export(model, folder / "colours.tflite", "float32")
    (folder / "labels.txt").write_text("r\ng\nb\n", encoding="utf-8")
    return folder / "colours.tflite"
