"""Videos and cameras frame by frame, by PyAV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd.datasets.images import MAX_PIXELS
from keras_kd.errors import DataError
from keras_kd.sessions import _containers

# Without a rate in the file: what players assume.
USUAL_RATE = 30
# ITU-T H.273: of BT.709, of BT.601, and of a file that does not state how its colours are coded.
_BT709, _BT601, _UNSTATED = 1, 5, 2
# The same: transfer functions of HDR.
_HDR = {16: "PQ", 18: "HLG"}
TICK = Fraction(1, 90_000)  # seconds, of the videos that are written
# Times nearer than this are one: csv files hold four decimals.
TIME_STEP = 1e-4
# Seconds: a time further back than the last frame's begins a recording that was joined on; less is
# a disorder.
RESTART = 0.5


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        number: from 0, in the order shown.
        time: seconds from the file's beginning, as players count: its sound may begin first.
        pixels: uint8 (H, W, 3), RGB, upright, of square pixels.
    """

    number: int
    time: float
    pixels: np.ndarray


class Video:
    """A video file, or a camera.

    Args:
        source: path of a file, or the number of a camera (on Windows its name).
        camera: whether it is a camera.

    Attributes:
        name: for people.
        rate: frames a second, as the file says.
        frames: how many there should be; None where nobody knows.
        pixels: width and height of a frame, as the file says.
        begins: when its first picture comes, in seconds; later than 0 if sound begins first.
        seconds: when it should end; None where nobody knows.
        others: the sizes of further films in the file, which are not read, as 640x480.
        hdr: how its brightness is coded if that is high dynamic range, "PQ" or "HLG"; else None.
        reached: the time of the last frame decoded, in seconds.
        damaged: how many damaged parts were passed over.
        joins: times in seconds at which the file's own times started again; they are counted on.

    Raises:
        DataError: it can't be opened or holds no video.
        ModelError: PyAV isn't installed.
    """

    def __init__(self, source: str | Path, camera: bool = False) -> None:
        self.name, self._camera = str(source), camera
        self._source = str(source) if camera else Path(source)
        self._open()
        self._require_size(self._stream.codec_context)
        self.pixels = (self._stream.codec_context.width, self._stream.codec_context.height)
        self.rate = float(self._stream.average_rate or USUAL_RATE)
        self.frames = self._stream.frames or self._estimate()
        film = float((self._stream.start_time or 0) * (self._stream.time_base or 0))
        self._start = self._beginning(film)
        self.begins = film - self._start
        self.seconds = self._seconds()
        self.others = [] if camera else _containers.other_films(self._container, self._stream)
        self.hdr = _HDR.get(int(self._stream.codec_context.color_trc or 0))
        self.reached = 0.0
        self.damaged = 0
        self.joins: list[float] = []

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()

    def after(self, number: int = -1, time: float | None = None) -> Iterator[Frame]:
        """Yield the frames after the one of this number and time; all of them without a time.

        Damaged parts are passed over and counted in `damaged`.
        """
        passed = 0  # what a frame counts that was seen before
        # Lands on a frame that the decoder can start from; a second early, as it may decode in
        # another order.
        if time is not None and not self._sought(time - 1):
            number, passed = -1, 1
        for now, picture in self._timed(number):
            self.reached = now
            if time is not None and now <= time + TIME_STEP:
                number += passed
                continue
            number += 1
            yield Frame(number, now, _upright(picture, self._aspect, self._camera))

    def _timed(self, number: int) -> Iterator[tuple[float, Any]]:
        """Yield pictures with times that only grow, from the frame after `number` on."""
        added, last = 0.0, None
        for picture in self._decoded():
            number += 1
            if self._camera and number == 0:
                self._start = picture.time or 0.0
            if picture.time is None:
                now = number / self.rate if last is None else last + 1 / self.rate
            else:
                now = picture.time - self._start + added
            if last is not None and now < last - RESTART:
                added += last + 1 / self.rate - now
                now = last + 1 / self.rate
                self.joins.append(now)
            last = now if last is None else max(now, last + 10 * TIME_STEP)
            yield last, picture

    def _sought(self, time: float) -> bool:
        """Whether the next frames are those from `time` on; where no place is known by a time,
        all come anew.
        """
        from av.error import FFmpegError

        if _containers.times_may_jump(self._container) or time > (self.seconds or 0):
            return False
        try:
            target = int((time + self._start) / self._stream.time_base)
            self._container.seek(max(target, 0), backward=True, stream=self._stream)
        except FFmpegError:
            self._container.close()
            self._open()
            return False
        return True

    def _open(self) -> None:
        if self._camera:
            self._container = _containers.opened_camera(str(self._source))
        else:
            self._container = _containers.opened_file(Path(self._source))
        self._stream = _containers.film(self._container, self.name, self._camera)
        self._stream.thread_type = "AUTO"
        # Camcorders store 1440x1080 pixels that are shown 1920 wide.
        stated = self._stream.sample_aspect_ratio
        self._aspect = stated if stated and stated > 0 else Fraction(1)

    def _decoded(self) -> Iterator[Any]:
        from av.error import FFmpegError

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                # Before the decoder makes room for it: the size may change on the way.
                self._require_size(self._stream.codec_context)
                yield from packet.decode()
            except StopIteration:
                return
            except FFmpegError:
                self.damaged += 1
                if self.damaged > 1000:
                    raise DataError(
                        f"{self.name} is damaged in more than 1000 places: copy it again."
                    ) from None

    def _require_size(self, size: Any) -> None:
        width = round(size.width * self._aspect)
        if width * size.height > MAX_PIXELS:
            raise DataError(
                f"{self.name} is declared {width}x{size.height}, more than {MAX_PIXELS} pixels"
                " a frame: scale it down."
            )

    def _beginning(self, film: float) -> float:
        """The file's own time at which players begin, in seconds: that of its first picture, at
        `film`, or sound.
        """
        first = self._container.start_time
        # Sound before 0 is what a decoder needs to begin, and not heard.
        return film if first is None else min(film, max(first / 1e6, 0.0))

    def _seconds(self) -> float | None:
        if self._camera:
            return None
        if self._stream.duration is not None:
            end = (self._stream.start_time or 0) + self._stream.duration
            return float(end * self._stream.time_base) - self._start
        # Matroska tells when each stream ends, and when the last one does; it counts from 0, though
        # none may begin there.
        if (end := _clock(self._stream.metadata.get("DURATION", ""))) is None:
            if self._container.duration is None:
                return None
            end = self._container.duration / 1e6
        return end - max(self._start, 0.0)

    def _estimate(self) -> int | None:
        duration = self._container.duration
        return None if self._camera or duration is None else round(duration / 1e6 * self.rate)


def _clock(text: str) -> float | None:
    """Seconds of hh:mm:ss.fraction; None of anything else."""
    if not re.fullmatch(r"\d{1,4}:\d\d:\d\d(\.\d{1,12})?", text):
        return None
    hours, minutes, seconds = map(float, text.split(":"))
    return 3600 * hours + 60 * minutes + seconds


def _upright(picture: Any, aspect: Fraction, camera: bool) -> np.ndarray:
    """Widen the picture by the aspect of its pixels, width over height, and turn and mirror it as
    the file's display matrix says.
    """
    width = max(1, round(picture.width * aspect))
    # A USB camera that states nothing has BT.601 at any size (UVC 1.5, color matching).
    guessed = picture.colorspace == _UNSTATED and not picture.format.is_rgb and not camera
    pixels = picture.to_ndarray(
        format="rgb24",
        width=width,
        height=picture.height,
        src_colorspace=_usual_coding(picture.height) if guessed else None,
    )
    # ISO 14496-12, 8.3.2: a point (x, y) is shown at (a x + c y, b x + d y).
    (a, b, _), (c, d, _) = _display_matrix(picture)[:2].tolist()
    if abs(b) > abs(a):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _usual_coding(height: int) -> int:
    """How browsers take colours to be coded where a film does not say it."""
    return _BT709 if height >= 720 else _BT601


def _display_matrix(picture: Any) -> np.ndarray:
    """The matrix (3, 3) in 16.16 by which a file has its pictures shown; the identity without
    one.
    """
    for part in picture.side_data:
        if part.type.name == "DISPLAYMATRIX":
            return np.frombuffer(part, np.int32).reshape(3, 3)
    return np.eye(3, dtype=np.int32)


def write(path: Path, frames: Iterator[tuple[float, np.ndarray]]) -> None:
    """Write an H.264 mp4 without sound of frames (seconds, uint8 (H, W, 3)); odd sizes lose a row
    or column.
    """
    import av

    with av.open(f"file:{path.resolve()}", "w", format="mp4") as container:
        stream: Any = None
        for time, pixels in frames:
            # H.264 stores colour for every second pixel, so sides must be even.
            height, width = (size - size % 2 for size in pixels.shape[:2])
            if stream is None:
                stream = container.add_stream("libx264", rate=USUAL_RATE)
                stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
                stream.codec_context.time_base = TICK
                stream.codec_context.colorspace = _usual_coding(height)
            shown = np.ascontiguousarray(pixels[:height, :width])
            picture = av.VideoFrame.from_ndarray(shown, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=_usual_coding(height)
            )
            # Each frame keeps its time, whatever the rate is.
            picture.pts, picture.time_base = round(time / TICK), TICK
            container.mux(stream.encode(picture))
        if stream is not None:
            container.mux(stream.encode(None))
