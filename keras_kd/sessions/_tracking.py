"""Which face is whose from frame to frame: kept through short gaps, and shown only once it has
stayed.

A new face counts when it was there in PERSISTENCE frames in a row; a false hit rarely is. Then it
keeps its number through GAP seconds without being seen. So a frame's faces are known PERSISTENCE -
1 frames later. A face that comes later still is compared with those that are not in the frame, by
appearance, size and place, and gets the number of the most similar one if they are alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from keras_kd.sessions import _appearance
from keras_kd.sessions._faces import overlap

PERSISTENCE = 3
GAP = 1.0
SMALLEST_OVERLAP = 0.2
# What twice the size, and a way of four boxes, add to the difference of two appearances.
SIZE_WEIGHT, WAY_WEIGHT, LONGEST_WAY = 0.5, 0.5, 4.0

Box = tuple[float, float, float, float]


@dataclass
class Track:
    """A face over time.

    Attributes:
        box: where it was last seen.
        time: when, in seconds.
        hits: in how many frames.
        number: of the face, from 1; None until it has stayed.
        look: its mean appearance; None until it has a number, or where nobody looked.
        looks: what it looked like until then.
    """

    box: Box
    time: float
    hits: int = 1
    number: int | None = None
    look: np.ndarray | None = None
    looks: list[np.ndarray] = field(default_factory=list)

    def see(self, look: np.ndarray | None) -> None:
        """Take in another look."""
        if look is None:
            return
        if self.number is None:
            self.looks.append(look)
        else:
            self.look = _appearance.mean(self.look, look)


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
        gap: seconds that a face may be unseen without being compared.
        one_person: whether one person is filmed: a face that is alone in the frame is theirs.
    """

    def __init__(
        self,
        known: Iterable[Track] = (),
        next_number: int = 1,
        gap: float = GAP,
        one_person: bool = False,
    ) -> None:
        self._tracks, self._gap, self._one_person = list(known), gap, one_person
        self._gone: list[Track] = []
        self._next = next_number

    def update(
        self, time: float, boxes: Sequence[Box], looks: Sequence[np.ndarray] = ()
    ) -> list[Track]:
        """Return the track of each box in the frame at `time`; its number may come with a later
        frame.

        Args:
            time: in seconds.
            boxes: of the frame's faces.
            looks: the appearance of each; empty where nobody looked.
        """
        self._gone += [t for t in self._tracks if t.number and time - t.time > self._gap]
        self._tracks = [track for track in self._tracks if time - track.time <= self._gap]
        result = self._matched(time, boxes)
        for track, look in zip(result, looks or [None] * len(boxes), strict=True):
            track.see(look)
        # New faces are dropped when they miss a frame.
        self._tracks = [track for track in self._tracks if track.number or track.time == time]
        stayed = [one for one in result if one.number is None and one.hits >= PERSISTENCE]
        self._recognise(time, stayed, alone=len(boxes) == 1)
        for track in stayed:
            if track.number is None:
                track.number, self._next = self._next, self._next + 1
            for look in track.looks:
                track.see(look)
            track.looks = []
        return result

    def _matched(self, time: float, boxes: Sequence[Box]) -> list[Track]:
        """The tracks of boxes by where they overlap those before; new ones for the rest."""
        found: list[Track | None] = [None] * len(boxes)
        if self._tracks and boxes:
            shares = overlap(np.array([track.box for track in self._tracks]), np.array(boxes))
            for row, column in zip(*linear_sum_assignment(-shares), strict=True):
                if shares[row, column] >= SMALLEST_OVERLAP:
                    track = self._tracks[row]
                    track.box, track.time, track.hits = boxes[column], time, track.hits + 1
                    found[column] = track
        result = [track or Track(box, time) for track, box in zip(found, boxes, strict=True)]
        self._tracks += [track for track, old in zip(result, found, strict=True) if old is None]
        return result

    def _recognise(self, time: float, new: Sequence[Track], alone: bool) -> None:
        """Give new faces the numbers of those that they are, of all that are not in the frame."""
        unseen = [t for t in (*self._gone, *self._tracks) if t.number and t.time < time]
        if not (new and unseen):
            return
        if self._one_person and alone:
            pairs = [(max(unseen, key=lambda track: track.time), new[0])]
        else:
            costs = np.array([[_difference(old, track) for track in new] for old in unseen])
            pairs = [
                (unseen[row], new[column])
                for row, column in zip(*linear_sum_assignment(costs), strict=True)
                if costs[row, column] <= _appearance.LARGEST
            ]
        for old, track in pairs:
            track.number, track.look = old.number, old.look
            self._gone = [one for one in self._gone if one is not old]
            self._tracks = [one for one in self._tracks if one is not old]


def _difference(old: Track, new: Track) -> float:
    """How different a face is from one seen before; more than `LARGEST` where nobody looked."""
    if old.look is None or not new.looks:
        return 2 * _appearance.LARGEST
    size = abs(np.log2(max(new.box[2], 1e-6) / max(old.box[2], 1e-6)))
    way = np.hypot(new.box[0] - old.box[0], new.box[1] - old.box[1]) / max(old.box[2], 1e-6)
    return (
        _appearance.difference(old.look, np.mean(new.looks, axis=0))
        + SIZE_WEIGHT * size
        + WAY_WEIGHT * min(way / LONGEST_WAY, 1.0)
    )
