"""The runtimes of `runtimes.py`, each with the Python or npm packages that it needs.

Packages are installed below build/runtimes, once for each list of them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import runtime_files as files

DRIVERS = Path(__file__).with_name("runtime_drivers")
NPM = (
    "@litertjs/core@2.5.3",
    "@tensorflow/tfjs-tflite@0.0.1-alpha.10",
    "@tensorflow/tfjs-core@3.21.0",
    "@tensorflow/tfjs-backend-cpu@3.21.0",
)
BROWSER, ONNX = "browser", "onnx"


class Missing(Exception):
    """What a runtime needs can't be had here; the message says why."""


@dataclass(frozen=True)
class Runtime:
    """A runtime in one setting.

    Attributes:
        name: for the table.
        driver: the file in runtime_drivers, without `.py`.
        kind: its first argument.
        packages: for pip; none for the packages of this library's own environment.
        python: the version of Python, e.g. "3.9".
        only: kinds of files that it is for; none for all but ONNX.
    """

    name: str
    driver: str
    kind: str = "default"
    packages: tuple[str, ...] = ()
    python: str = ""
    only: tuple[str, ...] = ()

    def takes(self, kind: str) -> bool:
        """Whether the runtime is for files of this kind; a browser's gives no scale of integers."""
        if self.driver == BROWSER and kind == files.INTEGERS:
            return False
        return kind in self.only if self.only else kind != files.ONNX

    def command(self, folder: Path) -> list[str]:
        """Return the command before the file's name; what it needs is installed below `folder`.

        Raises:
            Missing: that fails.
        """
        extra = [str(DRIVERS / f"{self.driver}.py"), self.kind]
        if self.driver == BROWSER:
            _install_npm(folder / "npm")
        if not self.packages:
            return [sys.executable, *extra]
        return [str(environment(folder, self.python, self.packages)), *extra]


def _tensorflow_lite(version: str, python: str) -> list[Runtime]:
    packages = (f"tflite-runtime=={version}", "numpy<2")
    name = f"TensorFlow Lite {version}"
    return [
        Runtime(name, "tflite", "default", packages, python),
        Runtime(f"{name}, reference kernels", "tflite", "reference", packages, python),
    ]


HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
RUNTIMES = (
    *_tensorflow_lite("2.8.0", "3.9"),
    *_tensorflow_lite("2.10.0", "3.9"),
    *_tensorflow_lite("2.14.0", "3.11"),
    # The oldest and the newest that setup.cfg allows.
    Runtime("LiteRT 2.0.2", "tflite", "default", ("ai-edge-litert==2.0.2",), HERE),
    Runtime("LiteRT 2, newest", "tflite", "default", ("ai-edge-litert>=2,<3",), HERE),
    Runtime("LiteRT, without XNNPACK", "tflite", "plain"),
    Runtime("LiteRT, reference kernels", "tflite", "reference"),
    Runtime("LiteRT.js 2.5.3, WASM", BROWSER, "litert-wasm"),
    Runtime("LiteRT.js 2.5.3, WebGPU", BROWSER, "litert-webgpu"),
    Runtime("tfjs-tflite 0.0.1-alpha.10", BROWSER, "tfjs-tflite"),
    Runtime("ONNX Runtime", "onnx_runtime", only=(files.ONNX,)),
    Runtime(
        "MediaPipe's ImageClassifier 1.2.3", "mediapipe_classifier",
        packages=("mediapipe==1.2.3",), python=HERE, only=(files.SHIPPED, files.COLOUR),
    ),
    Runtime(
        "TensorFlow Lite Micro", "micro", packages=("tflite-micro==0.dev20261023182759",),
        python=HERE,
    ),
)  # fmt: skip


def environment(folder: Path, version: str, packages: Sequence[str]) -> Path:
    """Return the Python of a virtual environment of these packages."""
    made = folder / "-".join(
        package.translate({ord(c): "_" for c in "<>=,."}) for package in packages
    )
    python = made / "bin" / "python"
    if (made / "whole").exists():
        return python
    _run([str(_interpreter(version)), "-m", "venv", "--clear", str(made)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--only-binary=:all:", *packages])
    (made / "whole").touch()
    return python


def _interpreter(version: str) -> Path:
    """Return a Python of that version, on the PATH or among pyenv's."""
    if version == HERE:
        return Path(sys.executable)
    found = shutil.which(f"python{version}")
    kept = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    for path in [*([Path(found)] if found else []), *kept]:
        # pyenv's own commands are there for versions that are not chosen, too.
        if subprocess.run([path, "--version"], capture_output=True).returncode == 0:
            return path
    raise Missing(f"needs Python {version}, which is not installed")


def _install_npm(folder: Path) -> None:
    for program in ("npm", "chromium"):
        if not shutil.which(program):
            raise Missing(f"needs {program}, which is not installed")
    if not (folder / "whole").exists():
        options = ["--silent", "--no-audit", "--no-fund", "--legacy-peer-deps"]
        _run(["npm", "install", *options, "--prefix", str(folder), *NPM])
        (folder / "whole").touch()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise Missing(lines[-1] if lines else f"{command[0]} failed")
