"""Cartoon faces drawn from facial action units.

A picture takes three rows: who (`people`, the traits PERSON), what the face does (`units`,
intensities of action units) and how it is seen (`scenes`, the traits drawing.SCENE).
Repeat a row of `people` to draw one person over time.

Source of the action units: P. Ekman and W. V. Friesen, Facial Action Coding System, 1978.
"""

from __future__ import annotations

import numpy as np

from keras_kd.datasets._faces import geometry
from keras_kd.datasets._faces.drawing import (
    CIRCLE_X,
    CIRCLE_Y,
    ROUND,
    SIZE,
    STEPS,
    Sheet,
    colours,
    columns,
    mixed,
    palette,
)
from keras_kd.datasets._faces.traits import (
    BALD,
    BALL,
    BEARD,
    CURLY,
    FRAME,
    FRECKLES,
    FRINGE,
    GLASSES,
    HAIR,
    IRIS,
    LONG,
    MOUSTACHE,
    SKIN,
    UNITS,
)

ALONG = np.linspace(0.0, 1.0, 9)
CHUNK = 128


def draw(
    people: np.ndarray, units: np.ndarray, scenes: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Draw N faces.

    Args:
        people: table (N,) with the fields of PERSON, see drawing.sample.
        units: (N, 18), intensities in 0..1 of the action units in the order of UNITS.
        scenes: table (N,) with the fields of drawing.SCENE.
        generator: source of the pixels' noise.

    Returns:
        uint8 (N, 64, 64, 3), RGB.
    """
    # NumPy joins at least one array, and there may be no faces.
    images = [np.empty((0, SIZE, SIZE, 3), np.uint8)]
    for start in range(0, len(people), CHUNK):
        rows = slice(start, start + CHUNK)
        images.append(Face(people[rows], units[rows], scenes[rows]).sheet.pixels(generator))
    return np.concatenate(images)


def on(intensity: np.ndarray) -> np.ndarray:
    """Return (N,) bool, whether the intensities (N, 1) are large enough to fold the skin."""
    return intensity[:, 0] > 0.15


class Face:
    """The shapes of N faces, gathered on a sheet from back to front; one method a part of the
    face.
    """

    def __init__(self, people: np.ndarray, units: np.ndarray, scenes: np.ndarray) -> None:
        self.people = people
        self.action = {number: units[:, i : i + 1] for i, number in enumerate(UNITS)}
        self.sheet = Sheet(scenes, people["width"])
        self.skin = palette(SKIN, people["skin"]) + people["warmth"][:, None] * [1, 0, -1]
        self.hair = palette(HAIR, people["hair"])
        self.mouth = geometry.mouth_lines(people, self.action)
        self.add_background()
        self.add_head()
        self.add_folds()
        self.add_beard()
        self.add_mouth()
        self.add_nose()
        for side in (-1, 1):
            self.add_eye(side)
            self.add_brow(side)
        self.add_glasses()
        self.add_hair()
        self.add_ball()

    def crease(self, intensity: np.ndarray, darkness: float = 0.45) -> np.ndarray:
        """Return colours (N, 3) of a fold in the skin that deepens with an intensity (N, 1)."""
        return mixed(self.skin, self.skin * (1 - darkness), intensity[:, 0])

    def add_background(self) -> None:
        """Add a wall of two colours, divided by an upright or slanting edge."""
        scenes, half = self.sheet.scenes, SIZE / 2
        colour = colours(scenes, "background")
        self.sheet.wall([[-half, half, half, -half]], [[-half, -half, half, half]], colour)
        edge, slant = columns(scenes, "wall", "light_x")
        right = np.full_like(edge, half)
        x = np.concatenate([edge * half + slant * 12, right, right, edge * half - slant * 12], 1)
        self.sheet.wall(x, [[-half, -half, half, half]], mixed(colour, colour[:, ::-1], 0.6))

    def add_head(self) -> None:
        """Add what lies behind the features: long hair, shoulders, neck, ears and the face
        itself.
        """
        sheet, people, skin = self.sheet, self.people, self.skin
        long = (people["hair_style"] > BALD) & (people["hair_style"] < LONG)
        sheet.polygon(CIRCLE_X * 1.25, CIRCLE_Y * 1.5, mixed(self.hair, 0, 0.25), long, depth=-0.3)
        clothes = colours(people, "clothes")
        sheet.polygon(
            [-0.8, 0.8, 2.0, 2.2, -2.2, -2.0],
            [1.45, 1.45, 1.75, 3.5, 3.5, 1.75],
            clothes,
            depth=-0.3,
        )
        sheet.polygon(
            [-0.5, 0.5, 0.55, -0.55], [0.8, 0.8, 1.65, 1.65], mixed(skin, 0, 0.22), depth=-0.25
        )
        for side in (-1, 1):
            ear = mixed(skin, (150, 60, 50), 0.2)
            sheet.polygon(side + 0.14 * CIRCLE_X, 0.1 + 0.25 * CIRCLE_Y, ear, depth=-0.1)
        sheet.polygon(*geometry.outline(self.people, self.action), skin)

    def add_folds(self) -> None:
        """Add what moving muscles press into the skin of forehead, nose and cheeks."""
        sheet, action = self.sheet, self.action
        mouth, brow = columns(self.people, "mouth_y", "brow_y")
        along = np.linspace(0, 1, 6)
        raised = np.minimum(action[1], action[2])
        for height in (0.4, 0.53):
            y = brow - height + 0.1 * STEPS**2
            sheet.stroke(0.5 * STEPS, y, 0.035, self.crease(raised, 0.3), on(raised))
        cheek = np.maximum(np.maximum(action[9], action[10]), action[12])
        for side in (-1, 1):
            frown = self.crease(action[4])
            sheet.stroke(
                side * (0.08 + 0.03 * along), brow - 0.14 + 0.26 * along, 0.05, frown, on(action[4])
            )
            x = side * (0.2 + (0.34 + 0.08 * action[12]) * along - 0.12 * along * (1 - along))
            y = 0.32 + (mouth - 0.36) * along - 0.05 * action[12]
            sheet.stroke(x, y, 0.055, self.crease(cheek), on(cheek))
            for height in (-0.04, 0.06, 0.16):
                x, y = side * (0.03 + 0.17 * along), height + 0.08 * along
                sheet.stroke(x, y, 0.045, self.crease(action[9]), on(action[9]), depth=0.1)

    def add_beard(self) -> None:
        """Add freckles, beard and moustache."""
        people, lines = self.people, self.mouth
        for x, y in ((0.35, 0.3), (0.5, 0.22), (0.55, 0.38), (0.42, 0.42), (0.62, 0.28)):
            for side in (-1, 1):
                dot_x, dot_y = side * x + 0.03 * CIRCLE_X[::4], y + 0.03 * CIRCLE_Y[::4]
                self.sheet.polygon(
                    dot_x,
                    dot_y,
                    mixed(self.skin, (120, 60, 30), 0.5),
                    people["freckles"] < FRECKLES,
                )
        chin_x, chin_y = (
            edge[:, len(STEPS) - 1 :] for edge in geometry.outline(self.people, self.action)
        )
        colour = mixed(self.hair, self.skin, 0.3)
        self.sheet.band(
            chin_x, np.minimum(0.6 * chin_y + 0.3, chin_y), chin_y, colour, people["beard"] < BEARD
        )
        lip = lines["top"] - 0.03
        self.sheet.band(
            0.9 * lines["x"],
            lip - 0.12 * ROUND,
            lip,
            colour,
            people["moustache"] < MOUSTACHE,
            depth=0.05,
        )

    def add_mouth(self) -> None:
        """Add lips, between them teeth and tongue, and the chin's dimple."""
        sheet, action = self.sheet, self.action
        x, top, upper, lower, bottom = self.mouth.values()
        lips = mixed(
            mixed(self.skin, (170, 60, 60), 0.45), (190, 30, 50), self.people["make_up"] * 2 - 1.2
        )
        sheet.band(x, top, bottom, lips)
        sheet.band(x, upper - 0.018, lower + 0.018, mixed(self.skin * 0.25, (50, 0, 10), 0.5))
        jaw, parted = on(action[26]), on(np.maximum(action[25], action[26]))
        sheet.band(0.7 * x, np.maximum(lower - 0.13 * ROUND, upper), lower, (200, 90, 90), jaw)
        bared = np.clip(action[12] + action[20] + action[10] + 0.3, 0, 1)
        sheet.band(
            0.92 * x,
            upper,
            np.minimum(upper + 0.11 * bared * ROUND, lower),
            (245, 242, 235),
            parted,
        )
        sheet.band(
            0.8 * x,
            np.maximum(lower - 0.09 * action[16] * ROUND, upper),
            lower,
            (235, 230, 220),
            parted,
        )
        y = bottom + 0.10 - 0.06 * ROUND**2
        sheet.stroke(0.16 * STEPS, y, 0.04, self.crease(action[17]), on(action[17]))

    def add_nose(self) -> None:
        """Add the nose's shaded side, its tip and nostrils."""
        sheet, action = self.sheet, self.action
        length, width = columns(self.people, "nose_length", "nose_width")
        tip = length - 0.08 * action[9] - 0.02 * action[10]
        width = width * (1 + 0.3 * action[9] + 0.15 * action[10])
        side = np.where(sheet.scenes["light_x"] > 0, -1, 1)[:, None]
        x = side * np.concatenate(
            [np.full_like(width, 0.04), 0.9 * width, np.full_like(width, 0.02)], 1
        )
        y = np.concatenate([np.full_like(tip, -0.1), tip, tip], 1)
        sheet.polygon(x, y, mixed(self.skin, 0, 0.16), depth=0.15)
        tint = mixed(self.skin, (200, 90, 70), 0.15)
        sheet.polygon(width * CIRCLE_X, tip + 0.09 * CIRCLE_Y, tint, depth=0.2)
        for which in (-0.5, 0.5):
            x, y = width * (which + 0.25 * CIRCLE_X), tip + 0.05 + 0.03 * CIRCLE_Y
            sheet.polygon(x, y, self.skin * 0.4, depth=0.2)

    def add_eye(self, side: int) -> None:
        """Add white, iris, pupil, lids and the pouch below of the left (-1) or right (1) eye."""
        sheet, people, action = self.sheet, self.people, self.action
        size, gap, height, gaze = columns(people, "eye_size", "eye_gap", "eye_y", "gaze")
        radius = 0.28 * size
        x = side * gap + radius * STEPS
        upper, lower = geometry.lids(people, action, side, STEPS)
        sheet.band(x, upper, lower, (248, 246, 242))
        iris = palette(IRIS, people["iris"])
        for part, ink in ((0.145, iris), (0.075, iris * 0.15)):
            across = gaze + part * size * STEPS
            above, below = geometry.lids(people, action, side, across / radius)
            edge = part * size * ROUND
            top, bottom = (np.clip(height - 0.02 + edge * sign, above, below) for sign in (-1, 1))
            sheet.band(side * gap + across, top, bottom, ink)
        lashes = 0.05 + 0.02 * people["make_up"][:, None]
        sheet.stroke(x, upper, lashes, self.skin * 0.22)
        sheet.stroke(x, lower, 0.02, self.skin * 0.5)
        strain = np.maximum(action[6], action[7])
        sheet.stroke(x, lower + 0.08 + 0.03 * ROUND**2, 0.04, self.crease(strain), on(strain))

    def brow_line(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y (N, 9) of the middle of a brow, from its inner to its outer end."""
        height, arch, gap = columns(self.people, "brow_y", "brow_arch", "eye_gap")
        inner, outer, lower, nose = (self.action[unit] for unit in (1, 2, 4, 9))
        lowered = 0.2 * lower * (1 - 0.8 * ALONG) * (1 - 0.75 * inner) + 0.04 * nose
        raised = 0.24 * inner * (1 - ALONG) ** 2 + 0.2 * outer * np.sqrt(ALONG) * (1 - 0.3 * ALONG)
        y = height - arch * 4 * ALONG * (1 - ALONG) + 0.05 * ALONG**2 + lowered - raised
        return side * (gap - 0.24 - 0.07 * lower + 0.55 * ALONG), y

    def add_brow(self, side: int) -> None:
        """Add the left (-1) or right (1) eyebrow, thinner towards its outer end."""
        (thickness,) = columns(self.people, "brow_thickness")
        gray = np.where(self.people["hair"] > 0.8, 0.6, 0.1)
        colour = mixed(self.hair * 0.7, self.skin * 0.4, gray)
        self.sheet.stroke(*self.brow_line(side), thickness * (1 - 0.6 * ALONG**2), colour)

    def add_glasses(self) -> None:
        """Add the frame of a pair of glasses."""
        people, sheet = self.people, self.sheet
        gap, height = columns(people, "eye_gap", "eye_y")
        shown = people["glasses"] < GLASSES
        frame = palette(FRAME, people["glasses"] / GLASSES)
        loop_x, loop_y = (np.concatenate([circle, circle[:2]]) for circle in (CIRCLE_X, CIRCLE_Y))
        for side in (-1, 1):
            sheet.stroke(
                side * gap + 0.34 * loop_x,
                height + 0.02 + 0.3 * loop_y,
                0.05,
                frame,
                shown,
                depth=0.1,
            )
            sheet.stroke(
                side * np.array([0.78, 0.9, 1.0]), height + np.zeros(3), 0.05, frame, shown
            )
        sheet.stroke([-0.12, 0.0, 0.12], height - [0.0, 0.05, 0.0], 0.05, frame, shown, depth=0.12)

    def add_hair(self) -> None:
        """Add the hair over the forehead: short, long, curly or with a fringe; none on bald
        heads.
        """
        style = self.people["hair_style"]
        line, parting = columns(self.people, "hairline", "parting")
        fringe = (style > FRINGE)[:, None]
        curly = ((style > LONG) & (style < CURLY))[:, None]
        zigzag = np.where(np.arange(len(STEPS)) % 2, 1.0, -0.5)
        wave = 1 + 0.09 * curly * zigzag
        x = 1.12 * STEPS * wave
        top = np.where(np.abs(STEPS) == 1, -0.1, -1.5 * ROUND * wave)
        hairline = np.where(fringe, 0.8 * line + 0.06 * zigzag, line + 0.2 * (STEPS - parting) ** 2)
        bottom = np.maximum(np.minimum(hairline + 0.7 * STEPS**8, 0.0), top)
        self.sheet.band(x, top, bottom, self.hair, style > BALD, depth=0.02)

    def add_ball(self) -> None:
        """Hide a part of a few faces behind a ball."""
        scenes = self.sheet.scenes
        x, y = columns(scenes, "ball_x", "ball_y")
        colour = 255 - colours(scenes, "background")
        self.sheet.polygon(
            x + 0.38 * CIRCLE_X, y + 0.38 * CIRCLE_Y, colour, scenes["ball"] < BALL, depth=0.3
        )
