"""`kerakd web`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from keras_kd._common.folders import cache_folder
from keras_kd._common.progress import Terminal
from keras_kd.sessions import SIDE

from . import engine, options, sessions


@options.command("web")
@click.argument("model", metavar="[MODEL]", required=False)
@click.option(
    "--out",
    metavar="DIR",
    help="Folder to write the page to, for any web server, instead of serving it here.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port of the server; 0 takes a free one.",
)
@click.option(
    "--crop",
    "side",
    type=click.FloatRange(0.5, 4),
    default=SIDE,
    show_default=True,
    metavar="NUMBER",
    help="Width of the crop that the model sees, in widths of the face box.",
)
@sessions.confidence
@click.option(
    "--litert-js",
    metavar="DIR",
    help="Folder in which npm installed LiteRT.js; if not given, the cache's folder.",
)
@options.file_form
def command(
    model: str | None,
    out: str | None,
    port: int,
    side: float,
    confidence: float,
    litert_js: str | None,
    stated: dict[str, tuple[str, ...]],
) -> None:
    """Serve a page that runs a model in the browser.

    MODEL is a bundle's folder or a .tflite file; if not given, it is exports/B of a checkout. The
    page reads the camera, pictures or a video and shows the outputs as bars. It computes on the
    device that shows it and loads nothing from outside its own origin. The command needs the extra
    sessions, and LiteRT.js, which is installed once; a message says how.

    \b
    Examples:
      kerakd web exports/mine
      kerakd web exports/mine --out site/      # to host; the camera needs https there
    """
    terminal = Terminal()
    load = engine.loader([model])
    web = load("sessions.web")
    packages = Path(litert_js) if litert_js else cache_folder("web")
    named = str(load("exporters.bundle").model_file(model))
    said = load("pipelines.statements").parse([named], stated).of(named)
    tell = terminal.about(named)
    if out:
        web.build(model, Path(out), packages, side, confidence, said, tell)
        terminal.say(
            f"Page: {Path(out) / 'index.html'}; serve its folder by https to use a camera."
        )
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "page"
        web.build(model, folder, packages, side, confidence, said, tell)
        with web.server(folder, port) as served:
            terminal.say(f"http://127.0.0.1:{served.server_port}/ until Ctrl-C")
            served.serve_forever()
