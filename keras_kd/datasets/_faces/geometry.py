"""Where the parts of a face lie: contours that a person's traits and the action units decide.

Lengths are in half face widths, y grows downwards. `people` is a table (N,) with the fields of
traits.PERSON, `action` has intensities (N, 1) in 0..1 by the number of the action unit.
"""

from __future__ import annotations

import numpy as np

from keras_kd.datasets._faces.drawing import CIRCLE_X, CIRCLE_Y, ROUND, STEPS, columns

Action = dict[int, np.ndarray]


def outline(people: np.ndarray, action: Action) -> tuple[np.ndarray, np.ndarray]:
    """Return the contour of the face (N, 24): from the left over the skull, then back under the
    chin.
    """
    chin, jaw = columns(people, "chin", "jaw")
    chin = chin + 0.16 * action[26] - 0.04 * action[17]
    below = np.clip(CIRCLE_Y, 0, None)
    return (
        CIRCLE_X * (1 + jaw * (0.05 - below**2)),
        np.where(CIRCLE_Y > 0, chin, 1.3) * CIRCLE_Y,
    )


def mouth_lines(people: np.ndarray, action: Action) -> dict[str, np.ndarray]:
    """Return five curves (N, 13) of the mouth: x, and the heights top and upper, lower and
    bottom of the lips.
    """
    height, width, lip = columns(people, "mouth_y", "mouth_width", "lip")
    raised, smile, frown, below, chin, stretch, tight, press, parted, jaw = (
        action[unit] for unit in (10, 12, 15, 16, 17, 20, 23, 24, 25, 26)
    )
    wide = 1 + 0.35 * smile + 0.35 * stretch - 0.25 * tight - 0.1 * press - 0.2 * jaw * (1 - smile)
    corner = -0.18 * smile + 0.22 * frown + 0.08 * stretch - 0.04 * raised
    middle = 0.06 * smile - 0.08 * chin * frown - 0.04 * chin + 0.04 * jaw
    line = height + middle + (corner - middle) * STEPS**2
    parted = np.maximum(parted, jaw)
    # Stretched lips open as a box, others as an ellipse.
    gape = ROUND + stretch * (1 - STEPS**8 - ROUND)
    upper = line - (0.05 + 0.1 * raised) * parted * gape
    lower = line + (0.07 * parted + 0.28 * jaw + 0.08 * below + 0.05 * smile * parted) * gape
    thin = np.clip(1 - 0.5 * tight - 0.7 * press - 0.3 * smile - 0.3 * stretch, 0.15, 1)
    bow = 1 - 0.25 * np.clip(1 - np.abs(STEPS) / 0.3, 0, 1)
    peaks = 0.14 * raised * (1 - STEPS**8) * (1 - 0.3 * np.clip(1 - np.abs(STEPS) / 0.4, 0, 1))
    top = upper - lip * thin * 0.8 * ROUND * bow - peaks
    bottom = lower + lip * thin * (1 + 0.6 * chin) * ROUND
    return {
        "x": STEPS * width * wide,
        "top": top,
        "upper": upper,
        "lower": lower,
        "bottom": bottom,
    }


def lids(
    people: np.ndarray, action: Action, side: int, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the heights (N, P) of both lids of an eye, at positions -1..1 across it."""
    size, height, tilt = columns(people, "eye_size", "eye_y", "eye_tilt")
    inner, outer, brow, raised, cheek, tight, nose, closed = (
        action[unit] for unit in (1, 2, 4, 5, 6, 7, 9, 43)
    )
    arch, outward = np.sqrt(1 - at**2), side * at
    line = height - tilt * outward
    slope = 0.45 * brow * (1 - inner) - 0.45 * inner * (1 - outer)
    upper = 0.16 + 0.12 * raised - 0.04 * tight - 0.04 * cheek - 0.05 * nose
    lower = 0.12 + 0.03 * raised - 0.05 * tight - 0.08 * cheek - 0.06 * nose
    bottom = line + lower * size * (1 - 0.7 * closed) * arch
    top = np.minimum(line - upper * size * arch * (1 + slope * outward), bottom)
    return top + closed * (bottom - top), bottom
