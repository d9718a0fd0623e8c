"""Progress of a long run for its user: lines and bars on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from keras_kd._common.text import printable


class Terminal:
    """Lines and progress bars on stderr, so that stdout holds results alone.

    Args:
        quiet: show nothing; for use as a library.
    """

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console  # here and below: `kerakd --help` needs none of it

        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)

    def say(self, message: str) -> None:
        """Print one line; no name in it can drive the terminal."""
        self._console.print(printable(message), markup=False)

    @contextmanager
    def bar(
        self, title: str, images: int | None, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        """Show a bar over `images` images while the block runs; it yields a function to advance it.

        Without a number of images the bar only moves; `unit` says what is counted.

        If stderr is not a terminal, there is no bar; `say` prints what matters.
        """
        from keras_kd._common.bars import bars

        with bars(self._console, unit) as shown:
            task = shown.add_task(printable(title), total=images)
            yield lambda count: shown.advance(task, count)
