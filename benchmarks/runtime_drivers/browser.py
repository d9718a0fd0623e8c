"""Run a .tflite file in headless Chromium; arguments as of tflite.py, and the npm folder as sixth.

KIND is "litert-wasm", "litert-webgpu" (on Chromium's software adapter) or "tfjs-tflite". The page
is served from this machine to itself alone, and posts what it computed.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import numpy as np

FLAGS = {
    "litert-webgpu": [
        "--enable-unsafe-webgpu",
        "--use-webgpu-adapter=swiftshader",
        "--enable-features=Vulkan",
        "--use-vulkan=swiftshader",
        "--disable-vulkan-surface",
    ]
}
START = 60  # seconds that the browser may take besides


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and keeps what is posted."""

    def do_POST(self):
        self.server.posted = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()

    def log_message(self, *_):
        """Be silent."""


def page(folder, packages, job, model, images):
    """Lay out what the page loads."""
    shutil.copyfile(Path(__file__).with_name("browser.html"), folder / "index.html")
    shutil.copyfile(model, folder / "model.tflite")
    (folder / "images.bin").write_bytes(np.ascontiguousarray(images).tobytes())
    (folder / "job.json").write_text(json.dumps(job))
    (folder / "npm").symlink_to(Path(packages).resolve() / "node_modules")


def main(kind, model, images, outputs, seconds, packages):
    images = np.load(images)
    job = {
        "kind": kind,
        "shape": images.shape,
        "type": str(images.dtype),
        "seconds": float(seconds),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "page"
        folder.mkdir()
        page(folder, packages, job, model, images)
        handler = partial(Handler, directory=str(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.done, server.posted = Event(), b""
        Thread(target=server.serve_forever, daemon=True).start()
        options = ["--headless=new", "--no-sandbox", f"--user-data-dir={name}/profile"]
        options += FLAGS.get(kind, ["--disable-gpu"])
        address = f"http://127.0.0.1:{server.server_port}/"
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        browser = subprocess.Popen(["chromium", *options, address], **silent)
        try:
            if not server.done.wait(float(seconds) + START):
                sys.exit(f"Chromium gave no answer in {float(seconds) + START:.0f} s")
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
        answer = json.loads(server.posted)
    if "error" in answer:
        sys.exit(answer["error"])
    np.save(outputs, np.array(answer["rows"], np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
