"""`kerakd guide`."""

from __future__ import annotations

import click

from keras_kd._common.files import require_apart, write_text

from . import engine, options


@options.command("guide")
@click.argument("model", metavar="[MODEL]", required=False)
@click.option(
    "--out", metavar="FILE.md", help="File to write the guide to, instead of printing it."
)
@options.file_form
def command(model: str | None, out: str | None, stated: dict[str, tuple[str, ...]]) -> None:
    """Print how to embed a model in an app.

    MODEL is a bundle's folder or a .tflite file; if not given, it is exports/B of a checkout. The
    guide has programs for Android, iOS, Flutter, browsers, React Native, C and Python. It is made
    from the file's own tensors and contains one worked input with its outputs.

    \b
    Example:
      kerakd guide exports/mine --out embedding.md
    """
    load = engine.loader([model])
    guide = load("exporters.guide")
    path = guide.model_file(model)
    require_apart([out], load("exporters.bundle").files_of(path))
    named = str(path)
    said = load("pipelines.statements").parse([named], stated).of(named)
    text = guide.guide(guide.facts(model, said))
    if out:
        write_text(out, text)
    else:
        click.echo(text, nl=False)
