"""What commands print: JSON or tables on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from keras_kd._common.text import printable


def show_json(result: Any) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps(result, indent=2))


def show_table(rows: Sequence[Sequence[str]], rule_after: int | None = None) -> None:
    """Print rows of text, a header first, on stdout; all columns but the first are aligned right.

    Args:
        rows: the header and the body, of equal length.
        rule_after: number of the row of the body that a line follows.
    """
    from rich import box  # here: help needs none of it
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for index, heading in enumerate(rows[0]):
        table.add_column(
            Text(printable(heading)), justify="right" if index else "left", no_wrap=True
        )
    for number, row in enumerate(rows[1:], start=1):
        table.add_row(*(Text(printable(cell)) for cell in row), end_section=number == rule_after)
    # A table is never cut to the window: what it says matters more than how it wraps.
    width = (
        sum(max(len(printable(row[column])) for row in rows) + 3 for column in range(len(rows[0])))
        + 2
    )
    Console(highlight=False, width=max(width, 20)).print(table)
