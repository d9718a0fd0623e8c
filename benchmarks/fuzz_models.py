"""Put whatever Keras exports into model configurations, load them, and watch what happens.

    .venv/bin/python benchmarks/fuzz_models.py --cases 5000 --seed 0 --out docs/results/fuzz

Every case changes one to three places of the configuration of a small `.keras` or `.h5` file:
classes and functions of Keras and Python by every name that they go by, sizes, paths, parts moved,
repeated and taken away. A worker loads the file as every command does; Python's audit hooks and a
profiler tell whether anything was started, written outside of the folder for temporary files, or
connected, and whether a function of Keras was called that loading an unchanged file doesn't call. A
worker that dies or takes more than 60 s is a finding too, and another goes on behind that case.
Writes models.csv into --out; exits with 1 if there are findings.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import types
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SECONDS = 60
ACTING = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "ctypes.dlopen",
    "os.kill",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.chmod",
)
VALUES = (None, True, -1, 0, 2**31, 2**70, 1e308, "", "a", "/etc/passwd", "os.system", "..", [], {},
          [[]] * 50, "deserialize", "__lambda__", "file:///etc/passwd")  # fmt: skip


def main() -> None:
    """Watch workers go through the cases, and sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of models.csv; printed only if not given")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        _work(given)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = _watched(given, Path(folder))
    counts = Counter(result["outcome"] for result in results)
    row = {"cases": len(results), "loaded": counts["loaded"], "refused": counts["refused"],
           "findings": counts["finding"], "longest_s": max(one["seconds"] for one in results),
           "seed": given.seed}  # fmt: skip
    print(json.dumps(row))
    for result in results:
        if result["outcome"] == "finding":
            print(json.dumps(result))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        with (given.out / "models.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerow(row)
    sys.exit(1 if counts["finding"] else 0)


def _watched(given: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    while len(results) < given.cases:
        command = [sys.executable, "-P", __file__, f"--cases={given.cases}", f"--seed={given.seed}",
                   f"--first={len(results)}", f"--work={folder}"]  # fmt: skip
        told, ended = folder / "told.jsonl", ""
        told.unlink(missing_ok=True)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as worker:
            while worker.poll() is None:
                time.sleep(0.5)
                if told.exists() and time.time() - told.stat().st_mtime > SECONDS:
                    worker.kill()
                    ended = "no answer"
        lines = told.read_text().splitlines() if told.exists() else []
        results += [json.loads(line) for line in lines if line.endswith("}")]
        if worker.returncode:
            if not lines:
                raise SystemExit(f"A worker could not start: exit {worker.returncode}")
            ended = ended or f"exit {worker.returncode}"
            results.append({"outcome": "finding", "detail": ended, "seconds": 0.0})
    return results


def _work(given: argparse.Namespace) -> None:
    folder = given.work / "model"
    folder.mkdir(exist_ok=True)
    bases = _bases(folder)
    watch = Watch()
    for name, members, config in bases:
        # What reading an unchanged file does is usual.
        watch.usual |= set(_loaded(_written(folder / name, members, config), watch)[1])
    with (given.work / "told.jsonl").open("a", buffering=1) as told:
        for number in range(given.first, given.cases):
            random = Random(f"{given.seed} {number}")
            name, members, config = random.choice(bases)
            config = changed(config, random)
            started = time.monotonic()
            path = _written(folder / name, members, config)
            outcome, seen = _loaded(path, watch)
            acts = [event for event in seen if event not in watch.usual]
            detail = "; ".join(dict.fromkeys(acts))[:500]
            result = {"outcome": "finding" if acts else outcome, "detail": detail, "number": number}
            told.write(
                json.dumps(result | {"seconds": round(time.monotonic() - started, 2)}) + "\n"
            )


def _asks(name: str) -> bool:
    """Whether a function looks something up, as Keras' layers do for their own parts."""
    module, _, short = name.rpartition(".")
    looks = short in ("deserialize", "get", "serialize")
    return looks or (
        module.startswith(("keras.backend", "keras.config", "keras.tree"))
        and not short.startswith(("clear", "disable", "enable", "reset", "set"))
    )


class Watch:
    """Records what code does: audit events that act, and functions of Keras that are called."""

    def __init__(self) -> None:
        from keras.src.api_export import REGISTERED_NAMES_TO_OBJS

        from keras_kd.models import _keras_classes

        computing = _keras_classes.activations() | _keras_classes.elementwise()
        self._functions = {
            found.__code__: name
            for name, found in REGISTERED_NAMES_TO_OBJS.items()
            if isinstance(found, types.FunctionType)
            and name.rpartition(".")[2] not in computing
            and not _asks(name)
        }
        self.usual: set[str] = set()
        self._seen: list[str] | None = None
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._seen is None:
            return
        path = str(arguments[0]) if arguments else ""
        writes = event == "open" and any(letter in str(arguments[1]) for letter in "wax+")
        acts = event.startswith(ACTING) or writes
        if acts and not path.startswith(tempfile.gettempdir()):
            self._seen.append(f"{event} {path[:100]}")

    def _called(self, frame: types.FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in self._functions and self._seen is not None:
            self._seen.append(f"called {self._functions[frame.f_code]}")

    def __enter__(self) -> list[str]:
        self._seen = seen = []
        sys.setprofile(self._called)
        return seen

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        self._seen = None


def _loaded(path: Path, watch: Watch) -> tuple[str, list[str]]:
    from keras_kd.errors import KerasKDError
    from keras_kd.models import keras_file

    with watch as seen:
        try:
            keras_file.load(path)
            outcome = "loaded"
        except KerasKDError as error:
            outcome = "refused"
            if not str(error).isprintable():
                seen.append("a sentence that isn't printable")
        except BaseException as error:
            outcome = "finding"
            seen.append(f"raised {type(error).__name__}: {error}"[:300])
    return outcome, seen


def _bases(folder: Path) -> list[tuple[str, dict[str, bytes], Any]]:
    """Small models of each kind: file name, what it holds, configuration."""
    import h5py
    import keras
    from keras import layers, ops

    def functional(body: Any) -> keras.Model:
        image = keras.Input((8, 8, 3))
        return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(body(image))))

    models = [
        functional(lambda x: layers.Conv2D(2, 3, activation="relu", kernel_regularizer="l2")(x)),
        functional(lambda x: ops.relu(x[:, ::2] / 2 - 1)),
        functional(lambda x: layers.Reshape((4, 2, 2))(
            layers.Bidirectional(layers.LSTM(1, return_sequences=True))(
                layers.TimeDistributed(layers.Dense(2))(layers.Reshape((8, 24))(x))))),
        keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Flatten(),
                          layers.Dense(2, kernel_initializer=keras.initializers.HeNormal(1))]),
    ]  # fmt: skip
    bases: list[tuple[str, dict[str, bytes], Any]] = []
    for number, model in enumerate(models):
        path = folder / "model.keras"
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        bases.append(("model.keras", members, json.loads(members["config.json"])))
        if number != 1:  # An `.h5` file can't hold operations.
            path = folder / "model.h5"
            model.save(path)
            with h5py.File(path) as file:
                config = json.loads(file.attrs["model_config"])
            bases.append(("model.h5", {"": path.read_bytes()}, config))
    return bases


def _written(path: Path, members: dict[str, bytes], config: Any) -> Path:
    import h5py

    content = json.dumps(config)
    if path.suffix == ".h5":
        path.write_bytes(members[""])
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = content
        return path
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in (members | {"config.json": content.encode()}).items():
            archive.writestr(name, member)
    return path


def changed(config: Any, random: Random) -> Any:
    """Return a configuration with one to three places changed."""
    config = copy.deepcopy(config)
    for _ in range(random.randint(1, 3)):
        found = list(places(config))
        container, key = random.choice(found)
        kind = random.randrange(4)
        if kind == 3:
            other, place = random.choice(found)
            container[key] = copy.deepcopy(other[place])
        elif kind == 2:
            container[key] = copy.deepcopy(random.choice(VALUES))
        else:
            container[key] = _named(random)
    return config


def _named(random: Random) -> Any:
    """An object that names something of Keras or Python in one of the ways that Keras knows."""
    from keras.src.api_export import REGISTERED_NAMES_TO_OBJS

    python = ("os.system", "builtins.eval", "subprocess.Popen", "shutil.rmtree", "importlib.reload")
    name = random.choice([*sorted(REGISTERED_NAMES_TO_OBJS), *python])
    module, _, short = name.rpartition(".")
    ways = (
        {"class_name": "function", "config": short, "module": module, "registered_name": short},
        {"class_name": "function", "config": short, "module": "builtins", "registered_name": None},
        {"class_name": short, "config": {}, "module": module, "registered_name": None},
        {"class_name": short, "config": {"name": "a"}},
        {"class_name": "Dense", "config": {}, "module": "keras.layers", "registered_name": name},
        {
            "class_name": "__typespec__",
            "spec_name": short,
            "module": module,
            "config": [],
            "registered_name": None,
        },
        {
            "class_name": "Lambda",
            "module": "keras.layers",
            "registered_name": None,
            "name": "l",
            "inbound_nodes": [],
            "config": {
                "name": "l",
                "function": {
                    "class_name": "function",
                    "config": short,
                    "module": module,
                    "registered_name": short,
                },
            },
        },
        {"class_name": short, "config": {}, "__passive_serialization__": True},
        short,
        name,
    )
    return random.choice(ways)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a configuration with each of its keys."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in list(parts):
        yield value, key
        if isinstance(part, (dict, list)):
            yield from places(part)


if __name__ == "__main__":
    main()
