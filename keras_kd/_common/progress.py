"""Progress of a long run for its user: lines and bars on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from keras_kd._common.text import printable

_SECONDS_A_LINE = 60.0  # where there is no terminal for a bar


class Terminal:
    """Lines and progress bars on stderr, so that stdout holds results alone.

    Args:
        quiet: show nothing; for use as a library.
    """

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console  # here and below: `kerakd --help` needs none of it

        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._noted: set[tuple[str, ...]] = set()

    def say(self, message: str) -> None:
        """Print one line; no name in it can drive the terminal."""
        self._console.print(printable(message), markup=False)

    def skipped(self, lines: Iterable[str]) -> None:
        """Print a line for each row of a data set that was left out, each once."""
        for line in dict.fromkeys(lines):
            self.say(f"skipped: {line}")

    def notes(self, lines: Sequence[str]) -> None:
        """Print on one line, once, what `datasets.passed_over` says of a data set; nothing where it
        says nothing.
        """
        if lines and tuple(lines) not in self._noted:
            self._noted.add(tuple(lines))
            self.say(f"Notes on the data: {'; '.join(lines)}")

    def about(self, name: str | Path) -> Callable[[str], None]:
        """Return a function that prints a line: the name, and the text that it is called with."""
        return lambda what: self.say(f"{name} {what}")

    @contextmanager
    def bar(
        self, title: str, images: int | None, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        """Show a bar over `images` images while the block runs; it yields a function to advance it.

        Without a number of images the bar only moves; `unit` says what is counted.

        If stderr is not a terminal, a line a minute says how much is done.
        """
        if not self._console.is_terminal:
            yield self._lines(title, images, unit)
            return
        from keras_kd._common.bars import bars

        with bars(self._console, unit) as shown:
            task = shown.add_task(printable(title), total=images)
            yield lambda count: shown.advance(task, count)

    def _lines(self, title: str, images: int | None, unit: str) -> Callable[[int], None]:
        """Return a function that counts, and says once a minute how much is done."""
        done, last_line = 0, time.monotonic()
        of_all = f" of {images:,}" if images else ""

        def advance(count: int) -> None:
            nonlocal done, last_line
            done += count
            if time.monotonic() - last_line >= _SECONDS_A_LINE:
                last_line = time.monotonic()
                self.say(f"{title}: {done:,}{of_all} {unit}")

        return advance
