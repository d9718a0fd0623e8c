"""Tables of random traits, and many similar pictures of flat shapes: posed, painted, lit and
blurred.

Equal arguments give equal pixels. Shapes are in units of half a face's width, x to the right, y
down, around a point between the eyes; `SCENE` says how they are seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFilter

SIZE = 64
OVERSAMPLING = 4

# Lowest and highest value of each trait of a scene; angles in radians, positions in pixels, colours
# 0..255.
SCENE = {
    "roll": (-0.25, 0.25),
    "yaw": (-0.42, 0.42),
    "pitch": (-0.15, 0.15),
    "x": (-4.5, 4.5),
    "y": (-3.5, 3.5),
    "scale": (19.5, 24.5),
    "background_red": (40.0, 220.0),
    "background_green": (40.0, 220.0),
    "background_blue": (40.0, 220.0),
    "wall": (-1.0, 1.0),
    "light_x": (-1.0, 1.0),
    "light_y": (-1.0, 1.0),
    "light": (0.0, 0.35),
    "brightness": (0.75, 1.15),
    "contrast": (0.8, 1.2),
    "noise": (0.0, 9.0),
    "blur": (0.0, 0.7),
    "ball": (0.0, 1.0),
    "ball_x": (-1.0, 1.0),
    "ball_y": (-1.0, 1.3),
}

# A half circle and a circle; the square root is exact on every machine, unlike sin and cos.
STEPS = np.linspace(-1.0, 1.0, 13)
ROUND = np.sqrt(1 - STEPS**2)
CIRCLE_X = np.concatenate([STEPS, STEPS[-2:0:-1]])
CIRCLE_Y = np.concatenate([-ROUND, ROUND[-2:0:-1]])


def sample(
    generator: np.random.Generator, count: int, traits: dict[str, tuple[float, float]]
) -> np.ndarray:
    """Draw a table of traits: a structured array (count,), one float64 field a trait, evenly
    between its limits.
    """
    low, high = np.array(list(traits.values())).T
    table = np.empty(count, [(name, np.float64) for name in traits])
    for name, column in zip(
        traits, (low + (high - low) * generator.random((count, len(traits)))).T, strict=True
    ):
        table[name] = column
    return table


def columns(table: np.ndarray, *names: str) -> list[np.ndarray]:
    """Return fields of a table (N,) as columns (N, 1)."""
    return [table[name][:, None] for name in names]


def colours(table: np.ndarray, name: str) -> np.ndarray:
    """Return the colours (N, 3) in the fields name_red, name_green and name_blue of a table."""
    return np.stack([table[f"{name}_{channel}"] for channel in ("red", "green", "blue")], 1)


def palette(stops: tuple[tuple[int, int, int], ...], position: np.ndarray) -> np.ndarray:
    """Return colours (N, 3) at positions (N,) in 0..1 along a list of colours."""
    return np.stack(
        [
            np.interp(position, np.linspace(0, 1, len(stops)), channel)
            for channel in np.array(stops).T
        ],
        1,
    )


def mixed(colour: np.ndarray, other: ArrayLike, share: ArrayLike) -> np.ndarray:
    """Return colours (N, 3) with a share in 0..1, one or (N,), of another colour."""
    part = np.clip(np.asarray(share, float), 0, 1)[..., None]
    return colour * (1 - part) + np.asarray(other, float) * part


def _there_and_back(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    return np.concatenate([there, back[:, ::-1]], 1)


class Sheet:
    """Shapes that N pictures have in common, gathered from back to front.

    Args:
        scenes: table (N,) with the fields of SCENE.
        widths: (N,), stretches all shapes sideways.
    """

    def __init__(self, scenes: np.ndarray, widths: np.ndarray) -> None:
        self.scenes = scenes
        self.widths = widths[:, None]
        self.shapes: list[tuple[list[list[int]], list[list[int]], list[bool]]] = []

    def polygon(
        self,
        x: ArrayLike,
        y: ArrayLike,
        colour: ArrayLike,
        shown: ArrayLike = True,
        depth: float = 0.0,
    ) -> None:
        """Add one polygon a picture.

        Args:
            x, y: corners, (P,) or (N, P).
            colour: (3,) or (N, 3), 0..255.
            shown: (N,) bool, the pictures that have it.
            depth: how far it stands out of the face towards the viewer, for turned heads.
        """
        points = np.stack(np.broadcast_arrays(x, y), -1)
        self._add(self._posed(points[..., 0], points[..., 1], depth), colour, shown)

    def wall(self, x: ArrayLike, y: ArrayLike, colour: ArrayLike) -> None:
        """Add a polygon whose corners (N, P) are in pixels from the middle of the picture."""
        self._add(np.stack(np.broadcast_arrays(x, y), -1), colour, True)

    def band(
        self,
        x: ArrayLike,
        top: ArrayLike,
        bottom: ArrayLike,
        colour: ArrayLike,
        shown: ArrayLike = True,
        depth: float = 0.0,
    ) -> None:
        """Add the area between two curves (N, P) over the same x."""
        across, above, below = np.broadcast_arrays(x, top, bottom)
        self.polygon(
            _there_and_back(across, across), _there_and_back(above, below), colour, shown, depth
        )

    def stroke(
        self,
        x: ArrayLike,
        y: ArrayLike,
        thickness: ArrayLike,
        colour: ArrayLike,
        shown: ArrayLike = True,
        depth: float = 0.0,
    ) -> None:
        """Add a line through points (P,) or (N, P), `thickness` wide."""
        across, down, width = np.atleast_2d(*np.broadcast_arrays(x, y, thickness))
        along_x, along_y = np.gradient(across, axis=1), np.gradient(down, axis=1)
        half = width / 2 / np.sqrt(along_x**2 + along_y**2)
        outline_x = _there_and_back(across - along_y * half, across + along_y * half)
        outline_y = _there_and_back(down + along_x * half, down - along_x * half)
        self.polygon(outline_x, outline_y, colour, shown, depth)

    def _posed(self, x: np.ndarray, y: np.ndarray, depth: float) -> np.ndarray:
        """Turn points of the face by yaw, pitch and roll: pixels (N, P, 2) from the middle of the
        picture.
        """
        yaw, pitch, roll, scale, right, down = columns(
            self.scenes, "yaw", "pitch", "roll", "scale", "x", "y"
        )
        x = x * self.widths
        # The head is round: its middle is nearer, so that moves further when the head turns.
        near = depth + 0.45 * np.clip(1 - x**2 - 0.3 * y**2, 0, 1)
        # First terms of sine and cosine: off by less than 0.001 at these angles.
        x, y = x * (1 - yaw**2 / 2) + near * yaw, y * (1 - pitch**2 / 2) + near * pitch
        sine, cosine = roll - roll**3 / 6, 1 - roll**2 / 2
        return np.stack(
            [(x * cosine - y * sine) * scale + right, (x * sine + y * cosine) * scale + down], -1
        )

    def _add(self, points: np.ndarray, colour: ArrayLike, shown: ArrayLike) -> None:
        count = len(self.scenes)
        places = (
            np.rint((points + SIZE / 2) * OVERSAMPLING).astype(np.int32).reshape(len(points), -1)
        )
        corners = np.broadcast_to(places, (count, places.shape[1])).tolist()
        inks = np.broadcast_to(np.clip(colour, 0, 255), (count, 3)).astype(np.uint8).tolist()
        self.shapes.append((corners, inks, np.broadcast_to(shown, count).tolist()))

    def pixels(self, generator: np.random.Generator) -> np.ndarray:
        """Paint all shapes as the scenes show them: uint8 RGB (N, SIZE, SIZE, 3)."""
        images = np.empty((len(self.scenes), SIZE, SIZE, 3), np.uint8)
        for i, scene in enumerate(self.scenes):
            picture = Image.new("RGB", (SIZE * OVERSAMPLING, SIZE * OVERSAMPLING))
            brush = ImageDraw.Draw(picture)
            for corners, inks, shown in self.shapes:
                if shown[i]:
                    brush.polygon(corners[i], fill=tuple(inks[i]))
            images[i] = lit(picture.reduce(OVERSAMPLING), scene, generator)
        return images


def lit(picture: Image.Image, scene: np.void, generator: np.random.Generator) -> np.ndarray:
    """Return the pixels, uint8 (SIZE, SIZE, 3), blurred, in light from one side, with noise of 0..9
    levels.
    """
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(float(scene["blur"]))), np.float32)
    ramp = np.linspace(-1, 1, SIZE)
    slope = scene["light"] * (scene["light_x"] * ramp + scene["light_y"] * ramp[:, None])
    gain = scene["brightness"] * scene["contrast"] * (1 + slope)
    # Contrast turns around the middle gray; the noise is gray, as a film's grain.
    offset = 118 * scene["brightness"] * (1 - scene["contrast"])
    noise = scene["noise"] * generator.standard_normal((SIZE, SIZE), np.float32)
    pixels = (
        pixels * gain.astype(np.float32)[:, :, None]
        + (offset + noise).astype(np.float32)[:, :, None]
    )
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
