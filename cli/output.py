"""What commands print: JSON or tables on stdout."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from keras_kd._common.text import printable
from keras_kd.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def show_json(result: Any) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps(result, indent=2))


def refusal(unread: Mapping[str, DataError], count: int, what: str) -> DataError:
    """Return the error of inputs that couldn't be read, once the others are done.

    Args:
        unread: at least one error, by input.
        count: number of all inputs.
        what: they are called, in the plural.

    Returns:
        The error, if it is one and the same; of several, their number and the first three.
    """
    messages = list(dict.fromkeys(map(str, unread.values())))
    if len(messages) == 1:
        return next(iter(unread.values()))
    shown = f"{' '.join(messages[:3])}{' ...' * (len(messages) > 3)}"
    return DataError(f"{len(unread):,} of {count:,} {what} can't be read: {shown}")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows for JSON: a dictionary each, without the index, None where a value is
    missing.
    """
    # JSON knows no NaN, and columns of numbers can't hold None.
    cells = table.astype(object)
    return cells.where(cells.notna(), None).to_dict(orient="records")


def show_table(rows: Sequence[Sequence[str]], rule_after: int | None = None) -> None:
    """Print rows of text, a header first, on stdout; all columns but the first are aligned right.

    A window that is too narrow gets a record for each row. A table is never cut: what it says
    matters more than how it looks.

    Args:
        rows: the header and the body, of equal length.
        rule_after: number of the row of the body that a line follows.
    """
    from rich import box  # here: help needs none of it
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = _width(rows)
    if width > _window():
        _show_records(rows)
        return
    table = Table(box=box.SIMPLE_HEAD)
    for index, heading in enumerate(rows[0]):
        table.add_column(
            Text(printable(heading)), justify="right" if index else "left", no_wrap=True
        )
    # As Text: rich would take [x] in a name for markup.
    for number, row in enumerate(rows[1:], start=1):
        table.add_row(*(Text(printable(cell)) for cell in row), end_section=number == rule_after)
    console = Console(highlight=False, width=max(width, 20))
    with console.capture() as shown:
        console.print(table)
    # rich itself would end the program with exit code 1 where nobody reads it.
    click.echo(shown.get(), nl=False)


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return the columns that a table takes with its margins."""
    longest = (max(len(printable(row[n])) for row in rows) for n in range(len(rows[0])))
    return sum(length + 3 for length in longest) + 2


def _window() -> float:
    """Return the columns of the window that stdout is, or that COLUMNS says; else any number."""
    # A file or a pipe has no width to keep to.
    known = os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty()
    return shutil.get_terminal_size().columns if known else math.inf


def _show_records(rows: Sequence[Sequence[str]]) -> None:
    """Print each row as lines of a heading and a value, since broken lines of a table can't be
    read.
    """
    headings = [printable(heading) for heading in rows[0]]
    longest = max(map(len, headings))
    for row in rows[1:]:
        click.echo("\n" + printable(row[0]))
        for heading, cell in zip(headings[1:], row[1:], strict=True):
            if cell:
                click.echo(f"  {heading:<{longest}}  {printable(cell)}")
