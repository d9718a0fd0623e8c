"""What a long run tells its user: lines and bars on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task) -> Text:
        return Text(f"{task.speed:,.0f} {self._unit}/s" if task.speed else "")


class Terminal:
    """Lines and progress bars on stderr, so that stdout holds results alone.

    Args:
        quiet: show nothing; for use as a library.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)

    def say(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, markup=False)

    @contextmanager
    def bar(
        self, title: str, images: int | None, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        """Show a bar over `images` images while the block runs; it yields a function to advance it.

        Without a number of images the bar only moves; `unit` says what is counted.

        Where stderr is no terminal there is no bar: `say` tells what matters.
        """
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(unit),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        ) as bars:
            task = bars.add_task(title, total=images)
            yield lambda count: bars.advance(task, count)
