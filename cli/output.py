"""What commands print: JSON or tables on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table


def show_json(result: Any) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps(result, indent=2))


def show_table(rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print rows of text, a header first, on stdout; all columns but the first are aligned right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if index else "left", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    Console(highlight=False, soft_wrap=True).print(table, markup=False)
