"""`kerakd distill`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from . import options, output


@click.command("distill")
@options.from_config(
    "data", "student", "teacher", "temperature", "alpha", "beta", "epochs", "teacher_epochs", "baseline",
    "teacher_input", "teacher_range", "teacher_output", "teacher_classes", "skip_bad_rows", *options.TRAINING,
)  # fmt: skip
@click.option("--config", "config_file", metavar="FILE.toml", help="Options from a file; a flag beats the file.")
@click.option("--out", metavar="DIR", help="Folder for the run; runs/DATA-STUDENT, numbered, if not given.")
@click.option("--resume", is_flag=True, help="Go on with the run that was stopped in --out.")
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json on stdout and nothing else.")
def command(config_file: str | None, out: str | None, resume: bool, as_json: bool, **arguments: Any) -> None:
    """Train a small student from a large teacher, export it and score it.

    \b
    Examples:
      kerakd distill --student B --temp 3 --alpha 0.15
      kerakd distill --student C --data fer2013.csv --out runs/c
      kerakd distill --resume --out runs/c
    """
    from keras_kd import config as configuration

    given = options.given(arguments)
    if resume and out is None:
        raise click.UsageError("--resume needs --out, the folder of the run to go on with.")
    record = Path(out, "config.toml") if resume else None
    if record and record.exists() and config_file is None:
        config_file = str(record)
    config = configuration.merged(config_file, given)

    from keras_kd import report, run
    from keras_kd.progress import Terminal

    folder = Path(out) if out else _numbered(Path("runs") / f"{Path(config.data).stem}-{config.student}")
    command_line = shlex.join(["kerakd", *sys.argv[1:]])
    metrics = run.distill(config, folder, Terminal(), resume, command_line)
    if as_json:
        output.show_json(metrics)
    else:
        output.show_table(report.summary_rows(metrics))
        click.echo(f"Model card: {folder / 'README.md'}")


def _numbered(folder: Path) -> Path:
    candidates = (folder if number == 1 else folder.with_name(f"{folder.name}-{number}") for number in range(1, 10_000))
    return next(candidate for candidate in candidates if not candidate.exists())
