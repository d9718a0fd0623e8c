"""Run .tflite files in headless Chromium; arguments as of tflite.py, and the npm folder as fourth.

KIND is "litert-wasm", "litert-webgpu" (on Chromium's software adapter) or "tfjs-tflite". The page
is served from this machine to itself alone, posts what it computed, and is loaded anew for the next
file. A browser that gives no answer is started anew.
"""

import json
import queue
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import rows

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
LARGEST = 64 * 2**20  # bytes of images that a page gets


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, takes what is posted, and answers when the next job is laid out."""

    def do_POST(self):
        self.server.posted.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.next.get()
        self.send_response(200)
        self.end_headers()

    def end_headers(self):
        """The same addresses have other files for the next job."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_):
        """Be silent."""


class Browser:
    """A Chromium on a page of a folder's."""

    def __init__(self, kind, folder, packages):
        shutil.copyfile(Path(__file__).with_name("browser.html"), folder / "index.html")
        (folder / "npm").symlink_to(Path(packages).resolve() / "node_modules")
        self.kind, self.folder, self.running = kind, folder, None
        handler = partial(Handler, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, model, images, seconds):
        """Return what the page posts."""
        images = images[: max(1, LARGEST // images[0].nbytes)]
        shutil.copyfile(model, self.folder / "model.tflite")
        (self.folder / "images.bin").write_bytes(np.ascontiguousarray(images).tobytes())
        job = {"kind": self.kind, "shape": images.shape, "type": str(images.dtype)}
        (self.folder / "job.json").write_text(json.dumps({**job, "seconds": float(seconds)}))
        if self.running:
            self.server.next.put(True)
        else:
            self.start()
        try:
            return json.loads(self.server.posted.get(timeout=float(seconds) + START))
        except queue.Empty:
            self.stop()
            return {"error": f"gives no answer in time: {float(seconds) + START:.0f} s of Chromium"}

    def start(self):
        """Open the page; an earlier one's answers count no more."""
        self.server.posted, self.server.next = queue.Queue(), queue.Queue()
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        options = ["--headless=new", "--no-sandbox", f"--user-data-dir={self.profile.name}"]
        options += FLAGS.get(self.kind, ["--disable-gpu"])
        address = f"http://127.0.0.1:{self.server.server_port}/"
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.running = subprocess.Popen(["chromium", *options, address], **silent)

    def stop(self):
        """End the browser, if there is one."""
        if self.running:
            self.running.terminate()
            self.running.wait()
            self.profile.cleanup()
        self.running = None


def main(kind, jobs, seconds, packages):
    with tempfile.TemporaryDirectory() as name:
        browser = Browser(kind, Path(name), packages)
        for model, images, start, outputs in rows.listed(jobs):
            answer = browser.answer(model, np.load(images, mmap_mode="r")[start:], seconds)
            Path(outputs + ".txt").write_text(answer.get("error", ""))
            if "rows" in answer:
                rows.write(outputs, answer["rows"])
        browser.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
