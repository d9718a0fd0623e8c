"""A picture of blocks in several colours, and how each turn of Exif shows it."""

from __future__ import annotations

import numpy as np

# What a viewer does to a stored picture, by the number that Exif 2.3 (table 6) gives it.
TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


# Blocks, which lossy formats keep, of four colours that no turn leaves in place.
BLOCKS = np.kron(
    np.array(
        [
            [[200, 30, 30], [30, 200, 30]],
            [[30, 30, 200], [220, 220, 220]],
            [[10, 10, 10], [128, 0, 90]],
        ]
    ),
    np.ones((32, 32, 1)),
).astype(np.uint8)
