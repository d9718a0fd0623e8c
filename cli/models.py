"""`kerakd models`."""

from __future__ import annotations

from keras_kd._common.progress import Terminal

from . import engine, options, output


@options.command("models")
@options.as_json
def command(as_json: bool) -> None:
    """List all architectures with their size and operations.

    MACs are multiply-accumulates for one image. Parameters are the trainable ones. Compact
    parameters leave out the dead taps of convolutions, as files for apps do: a float32 file takes 4
    bytes for each of these, an int8 file 1.
    """
    scoring, models = engine.load("evaluation.scoring"), engine.load("models")
    with Terminal().bar("Counting", len(models.names()), "models") as advance:
        rows = scoring.model_table(advance)
    if as_json:
        output.show_json(rows)
        return
    table = [("name", "input", "parameters", "compact", "MACs (M)")]
    table += [
        (
            row["name"],
            "x".join(map(str, row["input"])),
            f"{row['parameters']:,}",
            f"{row['compact_parameters']:,}",
            f"{row['multiply_accumulates'] / 1e6:,.1f}",
        )
        for row in rows
    ]
    output.show_table(table)
