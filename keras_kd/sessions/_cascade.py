"""scikit-image's LBP cascade: finds faces without BlazeFace's files; slower, frontal
faces only.
"""

from __future__ import annotations

import numpy as np

from keras_kd.datasets import images
from keras_kd.errors import ModelError
from keras_kd.sessions._faces import Face, overlap

LONGEST_SIDE = 320
SMALLEST_FACE = 24
SAME_FACE = 0.3
# From its boxes to BlazeFace's, downwards in widths: read off skimage's astronaut and matplotlib's
# Grace Hopper.
DROP = 0.12


class Cascade:
    """Finds frontal faces of at least 24 pixels in the image scaled to 320. It gives no scores: 1
    for each.
    """

    def __init__(self) -> None:
        try:
            from skimage import data
            from skimage.feature import Cascade as Detector
        except ImportError as error:
            raise ModelError(
                "The cascade needs scikit-image: pip install 'keras-kd[sessions]'."
            ) from error
        self._detector = Detector(data.lbp_frontal_face_cascade_filename())

    def find(self, image: np.ndarray) -> list[Face]:
        """Return the faces in uint8 (H, W, 3), the largest first."""
        scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
        height, width = (max(1, round(length * scale)) for length in image.shape[:2])
        if min(height, width) < SMALLEST_FACE:
            return []
        found = self._detector.detect_multi_scale(
            images.resize(image[None], height, width)[0],
            scale_factor=1.2,
            step_ratio=1,
            min_size=(SMALLEST_FACE, SMALLEST_FACE),
            max_size=(height, height),
        )
        boxes = np.array(
            [(hit["c"], hit["r"], hit["width"], hit["height"]) for hit in found], float
        ).reshape(-1, 4)
        boxes = boxes[np.argsort(-boxes[:, 2], kind="stable")] / scale
        boxes[:, 1] += DROP * boxes[:, 2]
        return [Face(tuple(box.tolist()), 1.0) for box in _apart(boxes)]


def _apart(boxes: np.ndarray) -> list[np.ndarray]:
    """Leave out boxes that overlap one before them."""
    kept: list[np.ndarray] = []
    for box in boxes:
        if not kept or overlap(box, np.array(kept)).max() < SAME_FACE:
            kept.append(box)
    return kept
