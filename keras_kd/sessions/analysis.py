"""A usability session: from a video or camera to a csv, a timeline, exports and a page."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

from keras_kd._common.files import locked, written_whole
from keras_kd._common.progress import Terminal
from keras_kd.errors import ConfigError, DataError, OutputError, kept
from keras_kd.sessions import (
    SIDE,
    _keys,
    _recording,
    _redaction,
    _timeline,
    _video,
)
from keras_kd.sessions._detectors import Detector
from keras_kd.sessions._finding import Steps
from keras_kd.sessions._options import Options, read_events
from keras_kd.sessions._reader import Reader
from keras_kd.sessions._session_files import (
    claim,
    described,
    noted,
    planned_options,
    require_names,
    result,
    write,
)

# Seconds that a video may lack of what it declares: sound and picture rarely end together.
SHORT = 1.0
# In a session's folder: events that were typed while a camera recorded.
KEYS = "keys.csv"


@dataclass(frozen=True)
class Recipe:
    """Settings that decide the rows of a recording.

    Attributes:
        side: width of the crop for the model, in widths of the face box.
        rate: largest number of frames for each second; None for all.
        detector: the detector's name and score, e.g. "auto 0.5".
        one_person: whether one person is filmed, whose face keeps its number.
    """

    side: float = SIDE
    rate: float | None = None
    detector: str = "auto"
    one_person: bool = False


def analyze(
    videos: Sequence[str],
    out: Path,
    reader: Reader,
    detector: Detector,
    recipe: Recipe,
    options: Options,
    segments: Path | None = None,
    camera: bool = False,
    seconds: float | None = None,
    resume: bool = False,
    redact: bool = False,
    clips: bool = False,
    temperature: float | None = None,
    informed: date | None = None,
    events: Path | None = None,
    offset: float = 0.0,
    marker: tuple[str, float] | None = None,
    terminal: Terminal | None = None,
    unread: dict[str, DataError] | None = None,
) -> dict[str, dict[str, Any]]:
    """Analyse recordings, each into `out/NAME.csv` and the folder `out/NAME`.

    The csv has one row for each face and frame. The folder has `session.json`, `tasks.csv`,
    `intervals.*` and `report.html`.

    Args:
        videos: files, or one camera's number.
        out: the folder for all results.
        reader: the model that reads faces.
        detector: the face detector.
        recipe: settings that decide the rows.
        options: settings that decide the timeline; its tasks come from `segments`.
        segments: csv of start_s, end_s and task for all videos, or a folder with NAME.csv for each.
        camera: whether `videos` names a camera, which runs until Ctrl-C or for `seconds`.
        seconds: length of the recording in seconds, or None.
        resume: continue recordings that were stopped; complete ones only get a new timeline.
        redact: also write `redacted.mp4`, with faces coarsened beyond recognition.
        clips: also write a clip of each moment worth a look; with `redact` its faces are coarsened.
        temperature: the temperature of the reader's calibration, or None.
        informed: the date on which the people filmed were informed, or None.
        events: csv of time and name, or a folder with NAME.csv for each video.
        offset: seconds to add to the times of segments and events, which may refer to a screen
            recording.
        marker: name of an event and its time in the video in seconds, which give the offset.
        terminal: where the user sees progress; None for nowhere.
        unread: takes the error of each video that can't be used, by video; None: the first is
            raised.

    Returns:
        By name: the csv, the page, number of frames, seconds that it took, each step's share of
            them, and the summary's first row.

    Raises:
        ConfigError: options can't be combined.
        DataError: the segments can't be used, or a video can't and `unread` is None.
        OutputError: `out` holds another session, another process works there, or typed keys
            couldn't be written, which is raised once the rest is done.
    """
    terminal = terminal or Terminal(quiet=True)
    names = [f"camera-{video}" if camera else Path(video).stem for video in videos]
    require_names(names, out)
    if camera and (redact or clips):
        raise ConfigError(
            "--redact and --clips read the video again, which a camera can't: record it first."
        )
    if camera:
        terminal.say(
            "This is an emotion recognition system: inform people before they are filmed "
            "(--informed DATE). Letters and digits that you type become events."
        )
    planned = [planned_options(options, name, segments, events, offset, marker) for name in names]
    one = _Analysis(
        out, reader, detector, recipe, camera, seconds, resume, redact, clips, temperature,
        informed, terminal,
    )  # fmt: skip
    results = {}
    for video, name, own in zip(videos, names, planned, strict=True):
        with kept(unread, video):
            results[name] = one.of(video, name, own)
    return results


@dataclass(frozen=True)
class _Analysis:
    """What holds for all videos of one call, under the names of the arguments of `analyze`."""

    out: Path
    reader: Reader
    detector: Detector
    recipe: Recipe
    camera: bool
    seconds: float | None
    resume: bool
    redact: bool
    clips: bool
    temperature: float | None
    informed: date | None
    terminal: Terminal

    def of(self, video: str, name: str, options: Options) -> dict[str, Any]:
        """Analyse one video under a name, and return its part of the results."""
        folder, rows = self.out / name, self.out / f"{name}.csv"
        stated = {
            "video": described(video, self.camera),
            "model": self.reader.fingerprint,
            "classes": list(self.reader.class_names),
            "recipe": asdict(self.recipe),
        }
        # A camera can't go on with what is there: the recording only gets a new timeline.
        again = self.camera and self.resume and rows.is_file()
        with (
            nullcontext() if again else _video.Video(video, self.camera) as source,
            locked(folder),
        ):
            known = claim(folder / "session.json", rows, stated, self.resume)
            stated |= noted(known, source, self.reader, self.informed)
            steps, started = Steps(), time.perf_counter()
            keys = folder / KEYS
            frames, unwritten = self._recorded(source, rows, keys, steps)
            took = time.perf_counter() - started
            _require_frames(video, rows, folder / "session.json")
            if keys.is_file():
                options = replace(options, events=(*options.events, *read_events(keys)))
            timeline = _timeline.load(rows, options)
            for doubt in chain(*timeline.doubts_by_kind.values()):
                self.terminal.say(f"{name}: {doubt}")
            frames = len(timeline.times) if frames is None else frames
            calibrated = {
                "temperature": self.temperature,
                "temperature_in_file": self.reader.temperature_in_file,
            }
            made = {"clips": self.clips, "options": asdict(options)}
            write(folder, timeline, stated | made | calibrated, name)
            self._write_clips(video, name, timeline)
            shares = steps.shares() if frames else {}
            self._say_done(name, frames, took, shares)
            if unwritten:
                raise unwritten[0]
            return result(rows, folder, timeline, frames, took) | {"time_by_step": shares}

    def _recorded(
        self, source: _video.Video | None, rows: Path, keys: Path, steps: Steps
    ) -> tuple[int | None, list[OutputError]]:
        """Record a video, and the keys typed while a camera records; without a source, nothing.

        Returns the number of frames, or None if it is not known, and why keys were not written.
        """
        unwritten = list[OutputError]()
        try:
            with (
                _pressed(self.camera) as stop,
                _listening(source if self.camera else None, keys) as unwritten,
            ):
                frames = self._frames(source, rows, stop, steps) if source else None
        except KeyboardInterrupt:
            if not self.camera:
                raise
            frames = None
        return frames, unwritten

    def _frames(
        self, source: _video.Video, rows: Path, stop: Callable[[], bool], steps: Steps
    ) -> int:
        """Record the frames, say what is odd about the video, and return their number."""
        recipe = self.recipe
        for told in _stated(source):
            self.terminal.say(told)
        with self.terminal.bar(Path(source.name).name, source.frames, "frames") as advance:
            frames = _recording.record(
                source,
                rows,
                self.reader,
                self.detector,
                side=recipe.side,
                rate=recipe.rate,
                resume=self.resume,
                advance=advance,
                seconds=self.seconds,
                stop=stop,
                one_person=recipe.one_person,
                steps=steps,
            )
        for oddity in _oddities(source, whole=self.seconds is None):
            self.terminal.say(oddity)
        return frames

    def _write_clips(self, video: str, name: str, timeline: _timeline.Timeline) -> None:
        folder, rows = self.out / name, self.out / f"{name}.csv"
        if self.redact:
            self.terminal.say(f"{name}: writing redacted.mp4")
            with written_whole(folder / "redacted.mp4") as path:
                _redaction.write(video, rows, path)
        if self.clips:
            self.terminal.say(f"{name}: writing a clip of each moment")
            _redaction.clips(video, rows, timeline.moments, folder / "clips", self.redact)
        else:
            _redaction.forget_clips(folder / "clips")

    def _say_done(self, name: str, frames: int, took: float, shares: dict[str, float]) -> None:
        rate = f", {frames / took:,.0f} frames/s" if frames else ""
        page = self.out / name / "report.html"
        self.terminal.say(f"{name}: {frames:,} frames in {took:.1f} s{rate}; {page}")
        if shares:
            times = ", ".join(f"{step} {share:.0%}" for step, share in shares.items())
            self.terminal.say(f"{name}: time by step: {times}")


def _require_frames(video: str, rows: Path, record: Path) -> None:
    """Raise DataError of a video that gave no frame; what there is of its session is removed, as it
    would stand in the next try's way.
    """
    # A camera may be stopped before the file is there.
    if rows.is_file():
        with rows.open("rb") as file:
            file.readline()
            if file.readline():
                return
    rows.unlink(missing_ok=True)
    record.unlink(missing_ok=True)
    raise DataError(f"{video} gave no frame: it is empty or damaged, copy it again.")


def _listening(
    source: _video.Video | None, path: Path
) -> AbstractContextManager[list[OutputError]]:
    """Keep the keys typed while a camera records, as events."""
    return _keys.typed(path, lambda: source.reached) if source else nullcontext([])


@contextmanager
def _pressed(camera: bool) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed, which stops a camera. A second one
    stops at once.
    """
    pressed = threading.Event()
    # Python lets the main thread alone handle signals.
    if not camera or threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def press(*_: object) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _stated(source: _video.Video) -> Iterator[str]:
    """Sentences on what a file says of itself that its user should know before it is read."""
    if source.others:
        width, height = source.pixels
        yield (
            f"{source.name} holds {1 + len(source.others)} films: that of {width}x{height} is read,"
            f" and {', '.join(source.others)} not; if the face is there, save that film as a file."
        )
    if source.hdr:
        yield (
            f"{source.name} has a high dynamic range (HDR, {source.hdr}), and is read as if it had"
            " not: faces look flatter than on a screen, and probabilities differ; record without"
            " HDR."
        )


def _oddities(source: _video.Video, whole: bool) -> Iterator[str]:
    """Sentences on what is odd about a video that was read, to its end if it is `whole`."""
    if source.joins:
        places = ", ".join(f"{second:.1f} s" for second in source.joins[:5])
        yield (
            f"{source.name}: its times start again at {places}: taken as recordings joined end to"
            " end."
        )
    if source.damaged:
        yield f"{source.name}: passed over {source.damaged} damaged parts."
    if whole and source.seconds and source.seconds - source.reached > SHORT + 1.5 / source.rate:
        yield (
            f"{source.name} ends at {source.reached:.1f} s of the {source.seconds:.1f} s that it"
            " declares: it may be cut short or damaged."
        )
