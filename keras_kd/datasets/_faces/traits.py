"""What faces can look like and do: ranges of traits, shares of people, colours, action units."""

from __future__ import annotations

# The columns of `units`, by their number in the Facial Action Coding System.
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
# Lowest and highest value of each trait: lengths in half face widths, colours 0..255, 0..1 for a
# choice.
PERSON = {
    "width": (0.88, 1.06),
    "chin": (1.18, 1.36),
    "jaw": (0.0, 0.3),
    "eye_size": (0.88, 1.14),
    "eye_gap": (0.40, 0.47),
    "eye_y": (-0.16, -0.06),
    "eye_tilt": (-0.03, 0.05),
    "gaze": (-0.05, 0.05),
    "brow_y": (-0.47, -0.40),
    "brow_thickness": (0.08, 0.14),
    "brow_arch": (0.02, 0.08),
    "nose_length": (0.28, 0.38),
    "nose_width": (0.11, 0.19),
    "mouth_y": (0.68, 0.76),
    "mouth_width": (0.36, 0.46),
    "lip": (0.05, 0.11),
    "skin": (0.0, 1.0),
    "warmth": (-8.0, 8.0),
    "hair": (0.0, 1.0),
    "hair_style": (0.0, 1.0),
    "hairline": (-1.02, -0.78),
    "parting": (-0.6, 0.6),
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
# Shares of the people who have them; hair styles are intervals of `hair_style`, above FRINGE all
# others.
GLASSES, BEARD, MOUSTACHE, FRECKLES, BALL = 0.18, 0.15, 0.12, 0.12, 0.05
BALD, LONG, CURLY, FRINGE = 0.08, 0.36, 0.54, 0.76
SKIN = (
    (255, 224, 200),
    (241, 194, 160),
    (224, 172, 130),
    (198, 134, 90),
    (150, 100, 66),
    (104, 68, 48),
)
HAIR = (
    (28, 22, 22),
    (60, 38, 26),
    (110, 70, 40),
    (170, 80, 40),
    (214, 176, 110),
    (150, 150, 155),
    (225, 225, 225),
)
IRIS = ((60, 36, 20), (96, 64, 32), (70, 110, 60), (70, 120, 160), (110, 130, 140))
FRAME = ((20, 20, 20), (90, 50, 30), (150, 40, 40), (170, 170, 170))
