"""Which face is whose from frame to frame: kept through short gaps, and shown only once it has
stayed.

A new face counts when it was there in PERSISTENCE frames in a row; a false hit rarely is. Then it
keeps its number through GAP seconds without being seen. So a frame's faces are known PERSISTENCE -
1 frames later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from keras_kd.sessions._faces import overlap

PERSISTENCE = 3
GAP = 1.0
SMALLEST_OVERLAP = 0.2

Box = tuple[float, float, float, float]


@dataclass
class Track:
    """A face over time.

    Attributes:
        box: where it was last seen.
        time: when, in seconds.
        hits: in how many frames.
        number: of the face, from 1; None until it has stayed.
    """

    box: Box
    time: float
    hits: int = 1
    number: int | None = None


def longest_gap(step: float) -> float:
    """How long a face may be unseen, in seconds, where frames come every `step`: one may be
    missed.
    """
    return max(GAP, 1.5 * step)


def longest_gap_between(times: np.ndarray) -> float:
    """`longest_gap` by the median step of float times (T,)."""
    return longest_gap(float(np.median(np.diff(times))) if len(times) > 1 else 0)


class Tracker:
    """Follows faces.

    Args:
        known: faces of a recording that goes on.
        next_number: of the next new face.
        gap: seconds that a face may be unseen.
    """

    def __init__(self, known: Iterable[Track] = (), next_number: int = 1, gap: float = GAP) -> None:
        self._tracks, self._gap = list(known), gap
        self._next = next_number

    def update(self, time: float, boxes: Sequence[Box]) -> list[Track]:
        """Return the track of each box in the frame at `time`; its number may come with a later
        frame.
        """
        self._tracks = [track for track in self._tracks if time - track.time <= self._gap]
        found: list[Track | None] = [None] * len(boxes)
        if self._tracks and boxes:
            shares = overlap(np.array([track.box for track in self._tracks]), np.array(boxes))
            for row, column in zip(*linear_sum_assignment(-shares), strict=True):
                if shares[row, column] >= SMALLEST_OVERLAP:
                    track = self._tracks[row]
                    track.box, track.time, track.hits = boxes[column], time, track.hits + 1
                    found[column] = track
        # New faces are dropped when they miss a frame.
        self._tracks = [track for track in self._tracks if track.number or track.time == time]
        result = [track or Track(box, time) for track, box in zip(found, boxes, strict=True)]
        self._tracks += [track for track, old in zip(result, found, strict=True) if old is None]
        for track in result:
            if track.number is None and track.hits >= PERSISTENCE:
                track.number, self._next = self._next, self._next + 1
        return result
