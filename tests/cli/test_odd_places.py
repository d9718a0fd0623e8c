"""Empty arguments, folders for files, a working folder that is gone, places without new files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command_line import called

from keras_kd._common import files, folders
from keras_kd.errors import OutputError

MODEL = str(Path(__file__).parents[2] / "exports" / "C")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["compare", ""], "An argument"),
        (["export", "", "--format", "int8"], "An argument"),
        (["web", MODEL, "--out="], "--out"),
        (["evaluate", "a.keras", "--data", ""], "An argument"),
    ],
)
def test_an_empty_argument_is_refused(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture
) -> None:
    assert called(*arguments) == 2
    assert f"kerakd: {named} is empty, as a shell's variable" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["compare .", "export .", "export / --format qat", "rerun /"])
def test_a_folder_without_a_name_is_refused_as_others(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert called(*line.split()) == 2
    assert capsys.readouterr().err.startswith("kerakd: ") and not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="a folder in use is kept elsewhere")
@pytest.mark.parametrize("line", [f"guide {MODEL} --out a.md", "init ."])
def test_a_working_folder_that_is_gone_is_told(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert called(*line.split()) == 2
    assert "The folder that this command was started in is gone" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no such place here")
def test_a_place_that_takes_no_new_files_is_told() -> None:
    with pytest.raises(OutputError, match="Can't write /proc/a.md: .*takes no new files"):
        files.write_text("/proc/a.md", "x")
    with (
        pytest.raises(OutputError, match="Can't write /proc/page: .*takes no new files"),
        folders.folder_written_whole(Path("/proc/page"), "index.html"),
    ):
        pass
