"""`kerakd models`."""

from __future__ import annotations

import click

from . import engine, options, output


@click.command("models")
@options.as_json
def command(as_json: bool) -> None:
    """List all architectures with their trainable parameters, as published and without dead taps."""
    rows = engine.load("scoring").model_table()
    if as_json:
        output.show_json(rows)
        return
    table = [("name", "input", "parameters", "compact", "float32 MB")]
    table += [
        (
            row["name"],
            "x".join(map(str, row["input"])),
            f"{row['parameters']:,}",
            f"{row['compact_parameters']:,}",
            f"{row['compact_parameters'] * 4 / 1e6:.2f}",
        )
        for row in rows
    ]
    output.show_table(table)
