"""Cartoon faces drawn from facial action units: the same arguments always give the same pixels.

A picture has three inputs, each a table with one row a picture: who (`people`), what the face does
(`units`, intensities of facial action units) and how it is seen (`scenes`: pose, light, noise).
Repeat a row of `people` to draw one person over time.

Positions are in units of half a face's width, x to the right, y down, the origin between the eyes.

Source of the action units: P. Ekman and W. V. Friesen, Facial Action Coding System, 1978.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64
OVERSAMPLING = 4
CHUNK = 128

# Columns of `units`: the number in FACS and the name there.
UNITS = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    15: "lip corner depressor",
    16: "lower lip depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    24: "lip pressor",
    25: "lips part",
    26: "jaw drop",
    43: "eyes closed",
}

# Lowest and highest value of each trait; all are drawn evenly between the two.
PERSON = {
    "width": (0.88, 1.06),
    "chin": (1.22, 1.42),
    "jaw": (0.0, 0.3),
    "eye_size": (0.88, 1.14),
    "eye_gap": (0.40, 0.47),
    "eye_y": (-0.16, -0.06),
    "eye_tilt": (-0.03, 0.05),
    "brow_y": (-0.46, -0.38),
    "brow_thickness": (0.07, 0.13),
    "brow_arch": (0.02, 0.08),
    "nose_length": (0.30, 0.42),
    "nose_width": (0.11, 0.19),
    "mouth_y": (0.70, 0.80),
    "mouth_width": (0.34, 0.44),
    "lip": (0.05, 0.11),
    "skin": (0.0, 1.0),
    "warmth": (-8.0, 8.0),
    "hair": (0.0, 1.0),
    "hair_style": (0.0, 1.0),
    "hairline": (-0.98, -0.70),
    "parting": (-0.5, 0.5),
    "iris": (0.0, 1.0),
    "make_up": (0.0, 1.0),
    "glasses": (0.0, 1.0),
    "beard": (0.0, 1.0),
    "moustache": (0.0, 1.0),
    "freckles": (0.0, 1.0),
    "clothes_red": (20.0, 230.0),
    "clothes_green": (20.0, 230.0),
    "clothes_blue": (20.0, 230.0),
}
SCENE = {
    "roll": (-0.24, 0.24),
    "yaw": (-0.45, 0.45),
    "pitch": (-0.15, 0.15),
    "x": (-4.0, 4.0),
    "y": (-3.0, 3.0),
    "scale": (18.0, 22.5),
    "background_red": (10.0, 245.0),
    "background_green": (10.0, 245.0),
    "background_blue": (10.0, 245.0),
    "wall": (-1.0, 1.0),
    "light_x": (-1.0, 1.0),
    "light_y": (-1.0, 1.0),
    "light": (0.0, 0.35),
    "brightness": (0.7, 1.15),
    "contrast": (0.75, 1.2),
    "noise": (0.0, 10.0),
    "blur": (0.0, 0.7),
    "occlusion": (0.0, 1.0),
    "occlusion_x": (-1.0, 1.0),
    "occlusion_y": (-1.0, 1.3),
}
GLASSES, BEARD, MOUSTACHE, FRECKLES, OCCLUSION = 0.18, 0.15, 0.15, 0.12, 0.06
BALD, LONG, CURLY, FRINGE = 0.08, 0.34, 0.52, 0.75

SKIN = ((255, 224, 200), (241, 194, 160), (224, 172, 130), (198, 134, 90), (141, 92, 58), (88, 56, 40))
HAIR = ((28, 22, 22), (60, 38, 26), (110, 70, 40), (170, 80, 40), (214, 176, 110), (150, 150, 155), (225, 225, 225))
IRIS = ((60, 36, 20), (96, 64, 32), (70, 110, 60), (70, 120, 160), (110, 130, 140))

# Points of a closed curve and positions along an open one; the square root is exact on every machine, unlike sin.
STEPS = np.linspace(-1.0, 1.0, 13)
ARCH = 1 - STEPS**2
ROUND = np.sqrt(ARCH)
CIRCLE = np.concatenate([np.stack([STEPS, -ROUND], 1), np.stack([STEPS, ROUND], 1)[-2:0:-1]])


def sample(generator: np.random.Generator, count: int, traits: dict[str, tuple[float, float]]) -> np.ndarray:
    """Draw a table of PERSON or SCENE: a structured array (count,), one float64 field a trait, evenly distributed."""
    low, high = np.array(list(traits.values())).T
    rows = low + (high - low) * generator.random((count, len(traits)))
    return np.rec.fromarrays(rows.T, names=list(traits)).view(np.ndarray)


class Sheet:
    """Shapes of many pictures of the same make-up, gathered from back to front."""

    def __init__(self, people: np.ndarray, scenes: np.ndarray):
        self.people, self.scenes = people, scenes
        self.shapes: list[tuple[list, list, list]] = []

    def add(self, x, y, colour, shown=True, depth=0.0, flat=False) -> None:
        """Add one polygon a picture.

        Args:
            x, y: corners (N, P); `flat` ones are in pixels from the middle of the picture, others in face units.
            colour: (N, 3), 0..255.
            shown: (N,) bool, the pictures that have this shape.
            depth: how far it stands out of the face, in face units.
        """
        count = len(self.scenes)
        points = np.stack(np.broadcast_arrays(x, y), -1)
        points = np.broadcast_to(points, (count, *points.shape[1:]))
        points = points if flat else self.posed(points, depth)
        corners = np.rint((points + SIZE / 2) * OVERSAMPLING).astype(np.int32).reshape(count, -1).tolist()
        inks = np.broadcast_to(np.clip(colour, 0, 255), (count, 3)).astype(np.uint8).tolist()
        self.shapes.append((corners, inks, np.broadcast_to(shown, count).tolist()))

    def posed(self, points: np.ndarray, depth: float) -> np.ndarray:
        """Turn points (N, P, 2) of the face by yaw, pitch and roll: pixels from the middle of the picture."""
        scenes = self.scenes[:, None]
        x, y = points[..., 0] * self.people["width"][:, None], points[..., 1]
        bulge = 0.45 * np.clip(1 - x**2 - 0.3 * y**2, 0, 1) + depth
        yaw, pitch, roll = scenes["yaw"], scenes["pitch"], scenes["roll"]
        # sin and cos by their first terms: at these angles off by less than 0.005.
        x = x * (1 - yaw**2 / 2) + bulge * yaw
        y = y * (1 - pitch**2 / 2) + bulge * pitch
        sine, cosine = roll - roll**3 / 6, 1 - roll**2 / 2
        turned = np.stack([x * cosine - y * sine, x * sine + y * cosine], -1)
        return turned * scenes["scale"][..., None] + np.stack([scenes["x"], scenes["y"]], -1)

    def band(self, x, top, bottom, colour, shown=True, depth=0.0) -> None:
        """Add the area between two curves over the same x (N, P)."""
        x, top, bottom = np.broadcast_arrays(x, top, bottom)
        self.add(np.concatenate([x, x[:, ::-1]], 1), np.concatenate([top, bottom[:, ::-1]], 1), colour, shown, depth)

    def stroke(self, x, y, thickness, colour, shown=True, depth=0.0) -> None:
        """Add a line along (N, P) points, `thickness` (N, P) wide."""
        x, y, thickness = np.broadcast_arrays(x, y, thickness)
        along_x, along_y = np.gradient(x, axis=1), np.gradient(y, axis=1)
        half = thickness / 2 / np.sqrt(along_x**2 + along_y**2 + 1e-12)
        sides_x = np.concatenate([x - along_y * half, (x + along_y * half)[:, ::-1]], 1)
        sides_y = np.concatenate([y + along_x * half, (y - along_x * half)[:, ::-1]], 1)
        self.add(sides_x, sides_y, colour, shown, depth)

    def pixels(self) -> np.ndarray:
        """Paint all shapes: uint8 (N, SIZE, SIZE, 3)."""
        large = SIZE * OVERSAMPLING
        images = np.empty((len(self.scenes), SIZE, SIZE, 3), np.uint8)
        for i in range(len(images)):
            picture = Image.new("RGB", (large, large))
            brush = ImageDraw.Draw(picture)
            for corners, inks, shown in self.shapes:
                if shown[i]:
                    brush.polygon(corners[i], fill=tuple(inks[i]))
            images[i] = np.asarray(picture.reduce(OVERSAMPLING))
        return images


def palette(colours: tuple, position: np.ndarray) -> np.ndarray:
    """Return colours (N, 3) at positions (N,) of 0..1 along a list of colours."""
    stops = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(position, stops, channel) for channel in np.array(colours, float).T], 1)


def mixed(colour: np.ndarray, other: object, share: object) -> np.ndarray:
    """Return (N, 3) colours with a share (scalar or (N,)) of another colour."""
    share = np.asarray(share, float)[..., None]
    return colour * (1 - share) + np.asarray(other, float) * share


def columns(table: np.ndarray, *names: str) -> list[np.ndarray]:
    """Return fields of a table as (N, 1)."""
    return [table[name][:, None] for name in names]


def draw(people: np.ndarray, units: np.ndarray, scenes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw faces.

    Args:
        people: table (N,) with the fields of PERSON, see `sample`.
        units: (N, 18) intensities in 0..1 of the action units in the order of UNITS.
        scenes: table (N,) with the fields of SCENE.
        generator: source of the pixel noise.

    Returns:
        uint8 (N, 64, 64, 3), RGB.
    """
    chunks = [
        seen(
            painted(people[i : i + CHUNK], units[i : i + CHUNK], scenes[i : i + CHUNK]),
            scenes[i : i + CHUNK],
            generator,
        )
        for i in range(0, len(people), CHUNK)
    ]
    return np.concatenate(chunks)


def painted(people: np.ndarray, units: np.ndarray, scenes: np.ndarray) -> np.ndarray:
    """Draw faces in even light: uint8 (N, 64, 64, 3)."""
    sheet = Sheet(people, scenes)
    action = {number: units[:, i : i + 1] for i, number in enumerate(UNITS)}
    skin = palette(SKIN, people["skin"]) + people["warmth"][:, None] * [1, 0, -1]
    hair = palette(HAIR, people["hair"])
    add_background(sheet)
    add_head(sheet, action, skin, hair)
    add_folds(sheet, action, skin)
    add_beard(sheet, action, skin, hair)
    add_mouth(sheet, action, skin)
    add_nose(sheet, action, skin)
    for side in (-1, 1):
        add_eye(sheet, action, skin, side)
        add_brow(sheet, action, hair, skin, side)
    add_glasses(sheet)
    add_hair(sheet, hair)
    add_occlusion(sheet)
    return sheet.pixels()


def add_background(sheet: Sheet) -> None:
    """Add a wall of two colours."""
    scenes = sheet.scenes
    wall = np.stack([scenes["background_red"], scenes["background_green"], scenes["background_blue"]], 1)
    half = SIZE / 2
    sheet.add([[-half, half, half, -half]], [[-half, -half, half, half]], wall, flat=True)
    edge, slant = scenes["wall"][:, None] * half, scenes["light_x"][:, None] * 12
    x = np.concatenate([edge + slant, np.full_like(edge, half), np.full_like(edge, half), edge - slant], 1)
    sheet.add(x, [[-half, -half, half, half]], mixed(wall, wall[:, ::-1], 0.6), flat=True)


def outline(people: np.ndarray, action: dict, size: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the face's contour (N, 24), from the left ear over the skull to the right and back under the chin."""
    chin, jaw = columns(people, "chin", "jaw")
    x, y = CIRCLE.T * size
    low = np.clip(y, 0, None)
    drop = 0.16 * action[26] - 0.04 * action[17]
    return x * (1 - jaw * low**2 + 0.05 * jaw), np.where(y > 0, y * (chin + drop), y * 1.3)


def add_head(sheet: Sheet, action: dict, skin: np.ndarray, hair: np.ndarray) -> None:
    """Add what lies behind the features: long hair, shoulders, neck, ears and the face itself."""
    people = sheet.people
    style = people["hair_style"]
    x, y = CIRCLE.T
    long = (style > BALD) & (style < LONG)
    sheet.add(x[None] * 1.25, np.where(y > 0, y * 1.75, y * 1.45)[None], mixed(hair, 0, 0.25), long, depth=-0.3)
    clothes = np.stack([people["clothes_red"], people["clothes_green"], people["clothes_blue"]], 1)
    sheet.add([[-0.8, 0.8, 2.0, 2.2, -2.2, -2.0]], [[1.5, 1.5, 1.8, 3.5, 3.5, 1.8]], clothes, depth=-0.3)
    sheet.add([[-0.5, 0.5, 0.55, -0.55]], [[0.8, 0.8, 1.7, 1.7]], mixed(skin, 0, 0.22), depth=-0.25)
    for side in (-1, 1):
        sheet.add(side * 1.0 + 0.16 * x[None], 0.1 + 0.26 * y[None], mixed(skin, (150, 60, 50), 0.2), depth=-0.15)
    x, y = outline(people, action)
    sheet.add(x, y, skin)


def add_folds(sheet: Sheet, action: dict, skin: np.ndarray) -> None:
    """Add what moving muscles press into the skin: folds of brow, nose and cheeks, and the chin's dimple."""
    (mouth,) = columns(sheet.people, "mouth_y")
    brow = columns(sheet.people, "brow_y")[0]
    shades = {number: mixed(skin, skin * 0.55, np.clip(value[:, 0], 0, 1)) for number, value in action.items()}
    across = 0.5 * STEPS[None]
    both = np.minimum(action[1], action[2])[:, 0]
    for height in (0.42, 0.56):
        wrinkle = mixed(skin, skin * 0.7, both)
        sheet.stroke(across, brow - height + 0.1 * STEPS**2, 0.035, wrinkle, both > 0.1)
    for side in (-1, 1):
        along = np.linspace(0, 1, 6)[None]
        sheet.stroke(side * (0.09 + 0 * along), brow - 0.14 + 0.26 * along, 0.05, shades[4], action[4][:, 0] > 0.1)
        cheek = np.maximum(action[9], np.maximum(action[10], action[12]))
        fold = mixed(skin, skin * 0.6, np.clip(cheek[:, 0], 0, 1))
        x = side * (0.22 + 0.3 * along - 0.12 * along * (1 - along) + 0.1 * action[12] * along)
        sheet.stroke(x, 0.34 + (mouth - 0.36) * along - 0.05 * action[12], 0.05, fold, cheek[:, 0] > 0.1)
        for height in (0.0, 0.1):
            x = side * (0.05 + 0.14 * along)
            sheet.stroke(x, height + 0.07 * along, 0.04, shades[9], action[9][:, 0] > 0.1, depth=0.1)


def add_beard(sheet: Sheet, action: dict, skin: np.ndarray, hair: np.ndarray) -> None:
    """Add freckles, beard and moustache."""
    people = sheet.people
    freckled = people["freckles"] < FRECKLES
    for x, y in ((0.35, 0.3), (0.5, 0.22), (0.55, 0.38), (0.42, 0.42), (0.62, 0.28)):
        for side in (-1, 1):
            spot = CIRCLE[::4] * 0.03
            sheet.add(side * x + spot[None, :, 0], y + spot[None, :, 1], mixed(skin, (120, 60, 30), 0.5), freckled)
    x, y = outline(people, action)
    x, y = x[:, 12:], y[:, 12:]
    inner = np.where(np.abs(x) < 0.45, 0.62, 0.55) * y + 0.05
    colour = mixed(hair, skin, 0.3)
    sheet.band(x, np.minimum(inner + 0.25, y), y, colour, people["beard"] < BEARD)
    mouth = mouth_lines(people, action)
    shown = people["moustache"] < MOUSTACHE
    top = mouth["top"] - 0.03
    sheet.band(mouth["x"] * 0.9, top - 0.12 * ROUND, top, colour, shown, depth=0.05)


def mouth_lines(people: np.ndarray, action: dict) -> dict[str, np.ndarray]:
    """Return the four curves of the mouth (N, 13): x, top, upper (lip's edge), lower, bottom."""
    height, width, lip = columns(people, "mouth_y", "mouth_width", "lip")
    smile, frown, stretch, tight, press = (action[unit] for unit in (12, 15, 20, 23, 24))
    x = (
        STEPS
        * width
        * (1 + 0.35 * smile + 0.35 * stretch - 0.25 * tight - 0.15 * press - 0.2 * action[26] * (1 - smile))
    )
    corner = -0.17 * smile + 0.18 * frown + 0.05 * stretch
    middle = 0.06 * smile - 0.08 * action[17] - 0.08 * action[10] + 0.04 * action[26]
    line = height + middle + (corner - middle) * STEPS**2
    part = np.maximum(action[25], action[26])
    upper = line - (0.05 * part + 0.10 * action[10] * part) * ROUND
    lower = line + (0.07 * part + 0.28 * action[26] + 0.08 * action[16] + 0.05 * smile * part) * ROUND
    thin = np.clip(1 - 0.6 * tight - 0.7 * press - 0.3 * smile - 0.3 * stretch, 0.15, 1)
    bow = 1 - 0.25 * np.exp2(-((STEPS / 0.15) ** 2))
    top = upper - lip * thin * 0.8 * ROUND * bow
    bottom = lower + lip * thin * (1 + 0.5 * action[17]) * ROUND
    return {"x": x, "top": top, "upper": upper, "lower": lower, "bottom": bottom}


def add_mouth(sheet: Sheet, action: dict, skin: np.ndarray) -> None:
    """Add lips, and between them teeth and tongue."""
    lines = mouth_lines(sheet.people, action)
    red = mixed(mixed(skin, (170, 60, 60), 0.45), (190, 30, 50), np.clip(sheet.people["make_up"] * 2 - 1.2, 0, 1))
    x, upper, lower = lines["x"], lines["upper"], lines["lower"]
    sheet.band(x, lines["top"], lines["bottom"], red)
    sheet.band(x, upper - 0.015, lower + 0.015, mixed(skin * 0.25, (50, 0, 10), 0.5))
    parted = np.maximum(action[25], action[26])[:, 0] > 0.1
    tongue = np.maximum(lower - 0.13 * ROUND, upper)
    sheet.band(x * 0.7, tongue, lower, (200, 90, 90), parted & (action[26][:, 0] > 0.3))
    bared = np.clip(action[12] + action[20] + action[10] + 0.3, 0, 1)
    sheet.band(x * 0.92, upper, np.minimum(upper + 0.11 * bared * ROUND, lower), (245, 242, 235), parted)
    sheet.band(x * 0.8, np.maximum(lower - 0.09 * action[16] * ROUND, upper), lower, (235, 230, 220), parted)
    chin = mixed(skin, skin * 0.6, action[17][:, 0])
    sheet.stroke(0.16 * STEPS[None], lines["bottom"] + 0.10 - 0.06 * ARCH, 0.04, chin, action[17][:, 0] > 0.1)


def add_nose(sheet: Sheet, action: dict, skin: np.ndarray) -> None:
    """Add the nose's shaded side, wings and nostrils."""
    length, width = columns(sheet.people, "nose_length", "nose_width")
    tip = length - 0.07 * action[9] - 0.02 * action[10]
    width = width * (1 + 0.25 * action[9] + 0.15 * action[10])
    side = np.where(sheet.scenes["light_x"] > 0, -1, 1)[:, None]
    shade = mixed(skin, 0, 0.16)
    x = side * np.concatenate([0.04 + 0 * width, width * 0.9, 0.02 + 0 * width], 1)
    sheet.add(x, np.concatenate([-0.1 + 0 * tip, tip, tip], 1), shade, depth=0.15)
    circle_x, circle_y = CIRCLE.T
    sheet.add(width * circle_x, tip + 0.09 * circle_y, mixed(skin, (200, 90, 70), 0.15), depth=0.2)
    for which in (-1, 1):
        x = width * (which * 0.5 + 0.25 * circle_x)
        sheet.add(x, tip + 0.05 + 0.03 * circle_y, skin * 0.4, depth=0.2)


def add_eye(sheet: Sheet, action: dict, skin: np.ndarray, side: int) -> None:
    """Add white, iris, pupil, lids and the pouch below of one eye (side -1 left, 1 right)."""
    people = sheet.people
    size, gap, height, tilt = columns(people, "eye_size", "eye_gap", "eye_y", "eye_tilt")
    closed = 1 - action[43]
    outward = side * STEPS
    raised = (0.15 + 0.12 * action[5] - 0.05 * action[7] - 0.04 * action[6] - 0.03 * action[9]) * size * closed
    slope = 0.35 * action[4] * (1 - action[1]) - 0.35 * action[1] * (1 - action[2])
    middle = height - tilt * outward
    upper = middle - raised * ROUND * (1 + slope * outward)
    pushed = 0.05 * action[7] + 0.07 * action[6] + 0.05 * action[9]
    lower = middle + (0.11 + 0.03 * action[5] - pushed) * size * (0.3 + 0.7 * closed) * ROUND
    upper = np.minimum(upper, lower - 0.01)
    x = side * gap + 0.25 * size * STEPS
    sheet.band(x, upper, lower, (248, 246, 242), depth=-0.02)
    colour = palette(IRIS, people["iris"])
    for radius, ink in ((0.135, colour), (0.07, colour * 0.15)):
        edge = np.stack([STEPS * radius, ROUND * radius])
        across = side * gap + edge[0] * size
        low, high = (np.stack([np.interp(a, b, c) for a, b, c in zip(across, x, curve)]) for curve in (upper, lower))
        centre = height - 0.02
        sheet.band(
            across, np.clip(centre - edge[1] * size, low, high), np.clip(centre + edge[1] * size, low, high), ink
        )
    sheet.stroke(x * 1.0, upper, 0.05 + 0.02 * people["make_up"][:, None], skin * 0.22)
    sheet.stroke(x, lower, 0.02, skin * 0.5)
    strain = np.maximum(action[6], action[7])
    pouch = mixed(skin, skin * 0.6, strain[:, 0])
    sheet.stroke(x, lower + 0.09 + 0.02 * ARCH, 0.04, pouch, strain[:, 0] > 0.1)


def add_brow(sheet: Sheet, action: dict, hair: np.ndarray, skin: np.ndarray, side: int) -> None:
    """Add one eyebrow (side -1 left, 1 right)."""
    height, thickness, arch, gap = columns(sheet.people, "brow_y", "brow_thickness", "brow_arch", "eye_gap")
    along = np.linspace(0, 1, 9)[None]
    lowered = 0.17 * action[4] * (1 - 0.8 * along) * (1 - 0.7 * action[1]) + 0.03 * action[9]
    raised = 0.2 * action[1] * (1 - along) ** 2 + 0.2 * action[2] * np.sqrt(along) * (1 - 0.3 * along)
    y = height - arch * 4 * along * (1 - along) + 0.05 * along**2 + lowered - raised
    x = side * (gap - 0.24 - 0.06 * action[4] + 0.55 * along)
    bald = sheet.people["hair"] > 0.85
    colour = mixed(hair * 0.75, skin * 0.5, np.where(bald, 0.6, 0.1))
    sheet.stroke(x, y, thickness * (1 - 0.6 * along**2), colour)


def add_glasses(sheet: Sheet) -> None:
    """Add the frame of a pair of glasses."""
    people = sheet.people
    gap, height = columns(people, "eye_gap", "eye_y")
    shown = people["glasses"] < GLASSES
    frame = palette(((20, 20, 20), (90, 50, 30), (150, 40, 40), (170, 170, 170)), people["glasses"] / GLASSES)
    loop = np.concatenate([CIRCLE, CIRCLE[:2]])
    for side in (-1, 1):
        sheet.stroke(side * gap + 0.34 * loop[:, 0], height + 0.02 + 0.3 * loop[:, 1], 0.05, frame, shown, depth=0.1)
        sheet.stroke(side * np.array([[0.78, 0.9, 1.0]]), height - [[0.0, 0.0, 0.0]], 0.05, frame, shown)
    sheet.stroke(np.array([[-0.12, 0, 0.12]]), height - [[0.0, 0.05, 0.0]], 0.05, frame, shown, depth=0.12)


def add_hair(sheet: Sheet, hair: np.ndarray) -> None:
    """Add the hair over the forehead: short, long, curly or with a fringe; none on bald heads."""
    people = sheet.people
    style = people["hair_style"]
    line, parting = columns(people, "hairline", "parting")
    line = np.where((style > FRINGE)[:, None], line * 0.8, line)
    curls = np.where((style > LONG) & (style < CURLY), 1.0, 0.0)[:, None]
    wave = 1 + curls * 0.09 * np.where(np.arange(len(STEPS)) % 2, 1, -0.5)
    top = -1.48 * ROUND * wave
    top[:, [0, -1]] = -0.1
    x = np.where(np.abs(STEPS) == 1, STEPS * 1.06, STEPS * 1.12 * wave)
    bottom = line + 0.55 * np.abs(STEPS - parting) ** 2 * (1 - 0.4 * (style > FRINGE)[:, None])
    bottom = np.maximum(np.minimum(bottom, -0.1), top)
    sheet.band(x, top, bottom, hair, style > BALD, depth=0.02)


def add_occlusion(sheet: Sheet) -> None:
    """Cover a part of a few pictures with a round thing."""
    scenes = sheet.scenes
    shown = scenes["occlusion"] < OCCLUSION
    colour = np.stack([scenes["background_blue"], scenes["background_red"], scenes["background_green"]], 1)
    across, down = columns(scenes, "occlusion_x", "occlusion_y")
    sheet.add(across + 0.4 * CIRCLE[:, 0], down + 0.4 * CIRCLE[:, 1], colour, shown)


def seen(images: np.ndarray, scenes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Light, blur and add noise to uint8 (N, 64, 64, 3)."""
    pixels = images.astype(np.float32)
    blur = (scenes["blur"] / 4).astype(np.float32)[:, None, None, None]
    for axis in (1, 2):
        first, last = np.delete(pixels, -1, axis), np.delete(pixels, 0, axis)
        near = np.concatenate([first.take([0], axis), first], axis) + np.concatenate(
            [last, last.take([-1], axis)], axis
        )
        pixels += blur * (near - 2 * pixels)
    ramp = np.linspace(-1, 1, SIZE, dtype=np.float32)
    strength = scenes["light"] * scenes["contrast"]
    slope_x, slope_y = ((strength * scenes[name]).astype(np.float32)[:, None] * ramp for name in ("light_x", "light_y"))
    gain = (scenes["brightness"] * scenes["contrast"]).astype(np.float32)[:, None, None]
    gain = gain * (1 + slope_x[:, None, :] + slope_y[:, :, None])
    level = (118 * (1 - scenes["contrast"]) * scenes["brightness"]).astype(np.float32)[:, None, None, None]
    noise = (
        generator.standard_normal(pixels.shape, np.float32) * scenes["noise"].astype(np.float32)[:, None, None, None]
    )
    return np.clip(np.rint(pixels * gain[..., None] + level + noise), 0, 255).astype(np.uint8)
