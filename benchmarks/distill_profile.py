"""Processor seconds of a whole `kerakd` command by stage: what takes time beside the steps.

    .venv/bin/python benchmarks/distill_profile.py distill --data data/fer2013.csv --student C \
        --teacher exports/vgg8/model.tflite --epochs 1 --out runs/profile

Each row is a function of this package, with all that it called, below the one that called it.
The processor time of all threads counts for the main thread's line. Processes that the command
starts are told in one number. Needs Linux; prints Markdown.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from keras_kd._common.markdown import table

INTERVAL = 0.01  # seconds
SHOWN = 0.3  # seconds that a row has at least
ROOTS = ("keras_kd", "cli")
# What TensorFlow does, by its own functions.
INSIDE = {"quick_execute": "compute", "maybe_define_function": "trace"}


class Sampler(threading.Thread):
    """Charges the processor time since the last sample to the calls of the main thread."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.spent: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self.ended = threading.Event()

    def run(self) -> None:
        """Sample until `ended` is set."""
        before, main = 0.0, threading.main_thread().ident
        while not self.ended.wait(INTERVAL):
            calls, now = _calls(sys._current_frames().get(main)), time.process_time()
            self.spent[calls] += now - before
            before = now


def _calls(frame: FrameType | None) -> tuple[str, ...]:
    """The functions of this package on the stack, the outermost first, and what they are in."""
    calls: list[str] = []
    beside = ""
    while frame is not None:
        path, name = frame.f_code.co_filename, frame.f_code.co_name
        parts = Path(path).parts
        own = next((root for root in ROOTS if root in parts and "site-packages" not in parts), None)
        if path.startswith("<frozen importlib"):
            beside = "import"
        elif own:
            calls.append(f"{Path(path).stem}.{name}")
        elif not calls and not beside and name in INSIDE:
            beside = INSIDE[name]
        frame = frame.f_back
    return (*reversed(calls), *([f"({beside})"] if beside else []))


def _tree(spent: Mapping[tuple[str, ...], float]) -> list[tuple[str, str]]:
    """Rows of calls with all that is below them."""
    total: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for calls, seconds in spent.items():
        for depth in range(1, len(calls) + 1):
            total[calls[:depth]] += seconds

    def below(parent: tuple[str, ...]) -> list[tuple[str, str]]:
        own = [calls for calls in total if calls[:-1] == parent and total[calls] >= SHOWN]
        rows = []
        for calls in sorted(own, key=lambda one: -total[one]):
            rows.append((f"{'· ' * (len(calls) - 1)}{calls[-1]}", f"{total[calls]:.1f}"))
            rows += below(calls)
        return rows

    return below(())


def _of_children() -> float:
    """Processor seconds of the processes that this one started, ended or not."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                ticks += int(fields[11]) + int(fields[12])
    return ended.ru_utime + ended.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the command in this process, print."""
    sampler = Sampler()
    sampler.start()
    sys.argv[0] = "kerakd"
    from keras_kd.cli.main import main as kerakd

    code: object = 0
    try:
        kerakd()
    except SystemExit as end:
        code = end.code
    sampler.ended.set()
    sampler.join()
    others = _of_children()
    print(table(("calls", "processor seconds"), _tree(sampler.spent)))
    print(f"\nAll: {time.process_time():.1f}; processes that it started: {others:.1f}")
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main()
