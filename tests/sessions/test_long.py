"""Half an hour of video in bounded memory and faster than it plays; docs/sessions.md holds the
figures.

`$KERAKD_MINUTES` shortens or lengthens it: python -m pytest -m slow tests/sessions/test_long.py -s
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from drawn_film import needs_extra, scene, write

from keras_kd.datasets.readers import faces as drawn

RATE, LOOP = 30, 20
MINUTES = float(os.environ.get("KERAKD_MINUTES", "30"))

pytestmark = [
    pytest.mark.slow,
    needs_extra,
    pytest.mark.skipif(
        not Path("/proc/self/statm").exists(), reason="resident memory is read from Linux' /proc"
    ),
]


def _looped(path: Path, target: Path, times: int) -> Path:
    """Copy a video's packets several times, one after the other."""
    import av

    with av.open(str(target), "w") as output:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(path)) as source:
                own = source.streams.video[0]
                stream = stream or output.add_stream_from_template(own)
                for packet in source.demux(own):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        packet.stream = stream
                        output.mux(packet)
                offset += round(LOOP / own.time_base)
    return target


def _resident(process: subprocess.Popen) -> float:
    """Megabytes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _reached(rows: Path) -> float:
    """Seconds of video in the csv."""
    if not rows.is_file():
        return 0.0
    with rows.open("rb") as file:
        file.seek(max(0, rows.stat().st_size - 2000))
        lines = file.read().splitlines()
    try:
        return float(lines[-2].split(b",")[1])
    except (IndexError, ValueError):
        return 0.0


def test_half_an_hour_in_bounded_memory_faster_than_it_plays(tmp_path):
    from keras_kd import export, models

    export(models.build("C", 7, (64, 64, 3), seed=1), tmp_path / "model.tflite", "dynamic")
    units = np.stack([drawn.prototype(name) for name in ("neutral", "happy", "angry", "neutral")])
    pictures = drawn.film(units.repeat(RATE * LOOP // 4, axis=0), 7)
    shift = 40 * np.sin(np.arange(len(pictures)) / RATE)
    short = write(
        tmp_path / "short.mp4",
        (scene(p, 240 + int(x)) for p, x in zip(pictures, shift, strict=True)),
        RATE,
    )
    film = _looped(short, tmp_path / "film.mp4", round(60 * MINUTES / LOOP))
    rows = tmp_path / "out" / "film.csv"
    code = "from keras_kd.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "analyze",
        str(film),
        "--model",
        str(tmp_path / "model.tflite"),
    ]
    process = subprocess.Popen([*command, "--out", str(rows.parent)])
    samples = []
    began = time.monotonic()
    while process.poll() is None:
        samples.append((time.monotonic() - began, _reached(rows), _resident(process)))
        time.sleep(0.5)
    assert process.returncode == 0
    wall = time.monotonic() - began
    frames = rows.read_bytes().count(b"\n") - 1
    assert frames == round(MINUTES * 60 * RATE)
    first = next(sample for sample in samples if sample[1] >= 60)
    # Making the page at the end, which reads all rows, is told apart.
    streaming = [resident for _, at, resident in samples if 60 <= at < 60 * MINUTES - 1]
    growth, peak = max(streaming) - first[2], max(resident for *_, resident in samples)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = used.ru_utime + used.ru_stime
    sys.stdout.write(
        f"\n{MINUTES:g} min of 640x480 at {RATE} frames/s: {wall:.0f} s, {spent:.0f} s of processor"
        f" time; resident {first[2]:.0f} MB at minute 1, at most {growth:+.1f} MB later, {peak:.0f}"
        " MB with the page\n"
    )
    assert growth < 50 and peak - first[2] < 250
    assert wall < 60 * MINUTES
