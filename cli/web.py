"""`kerakd web`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from keras_kd._common.folders import cache_folder
from keras_kd._common.progress import Terminal
from keras_kd.sessions import CONFIDENCE, SIDE

from . import engine


@click.command("web")
@click.argument("model", metavar="[MODEL]", required=False)
@click.option(
    "--out", metavar="DIR", help="Write the page there for any web server, instead of serving it."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one."
)
@click.option(
    "--crop",
    "side",
    type=click.FloatRange(0.5, 4),
    default=SIDE,
    show_default=True,
    metavar="NUMBER",
    help="Width of what the model sees, in face boxes.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1),
    default=CONFIDENCE,
    show_default=True,
    metavar="NUMBER",
    help="Below this probability a label is `uncertain`.",
)
@click.option(
    "--litert-js",
    metavar="DIR",
    help="Where npm installed LiteRT.js; the cache's folder if not given.",
)
def command(
    model: str | None,
    out: str | None,
    port: int,
    side: float,
    confidence: float,
    litert_js: str | None,
) -> None:
    """Run a model on a page in the browser.

    MODEL is a bundle's folder or a .tflite file. Camera, pictures or a video in, bars out. The page
    computes on the device that shows it and asks for nothing outside its own origin. Needs the
    extra sessions, and LiteRT.js once: the message says how.

    \b
    Examples:
      kerakd web exports/mine
      kerakd web exports/mine --out site/      # to host; the camera needs https there
    """
    terminal = Terminal()
    web = engine.load("sessions.web")
    packages = Path(litert_js) if litert_js else cache_folder() / "web"
    if out:
        web.build(model, Path(out), packages, side, confidence)
        terminal.say(
            f"Page: {Path(out) / 'index.html'}; serve its folder by https to use a camera."
        )
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "page"
        web.build(model, folder, packages, side, confidence)
        with web.server(folder, port) as served:
            terminal.say(f"http://127.0.0.1:{served.server_port}/ until Ctrl-C")
            served.serve_forever()
