"""Progress bars of rich, in a module of their own: it takes a while to import."""

from __future__ import annotations

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


def bars(console: Console, unit: str) -> Progress:
    """Bars that go away when they end, with how many `unit` a second."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)
