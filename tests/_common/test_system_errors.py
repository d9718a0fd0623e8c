"""What the system refuses is told in one sentence, whatever it is."""

from __future__ import annotations

import errno
import os
import time
import zipfile
from pathlib import Path

import pytest

from keras_kd._common import system_errors
from keras_kd._common.checked_files import read_text
from keras_kd._common.files import write_text, written_whole
from keras_kd._common.folders import files_below
from keras_kd.errors import OutputError


@pytest.mark.parametrize(
    "number",
    [
        errno.EACCES, errno.EBUSY, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ELOOP, errno.EMFILE,
        errno.EAGAIN, errno.EHOSTDOWN, errno.EILSEQ, errno.EINVAL, errno.EMLINK, errno.ENOMEM,
        errno.ENAMETOOLONG, errno.ENOSPC, errno.ENOTCONN, errno.ENOTDIR, errno.EOPNOTSUPP,
        errno.EPERM, errno.EROFS, errno.ESTALE,
    ],
)  # fmt: skip
def test_each_refusal_has_a_sentence(number: int, tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"^Can't write .*result.txt: .*: .*\.$"),
        written_whole(tmp_path / "result.txt"),
    ):
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_a_clock_before_archives_began_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a small computer without a battery for its clock, after a power failure."""
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    with (
        pytest.raises(OutputError, match="clock stands before 1980.*: set the clock"),
        written_whole(tmp_path / "model.keras") as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        archive.writestr("config.json", "{}")
    assert not list(tmp_path.iterdir())


def test_links_in_a_circle_and_files_for_folders(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(OutputError, match="links lead in a circle|part of the path is a file"):
        write_text(tmp_path / "circle" / "result.txt", "a")
    (tmp_path / "file").write_text("a")
    with pytest.raises(OutputError, match="part of the path is a file"):
        write_text(tmp_path / "file" / "result.txt", "a")


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="no regular file"):
            read_text(path)


def test_folders_of_any_depth_are_looked_through(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    os.chdir(tmp_path)
    try:
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        Path("metrics.json").write_text("{}")
        os.fchdir(here)
        assert [file.name for file in files_below(tmp_path)] == ["metrics.json"]
    finally:
        for _ in range(1500):
            os.chdir("d")
        Path("metrics.json").unlink()
        for _ in range(1500):
            os.chdir("..")
            os.rmdir("d")
        os.chdir(Path(__file__).parents[2])
        os.close(here)


def test_data_whose_refusal_has_no_number_tell_its_words() -> None:
    """As of a packed file that is cut short."""
    error = system_errors.reading_error("table.csv", OSError("the file is cut short"))
    assert str(error).startswith("table.csv can't be read (the file is cut short): check the path")


def test_a_refusal_in_another_librarys_words_is_the_systems() -> None:
    """TensorFlow's of a full disk ended an export to a SavedModel in a traceback."""
    said = RuntimeError("{{node}} saved/variables/part-0; No space left on device [Op:SaveV2]")
    found = system_errors.in_words(said)
    assert found is not None and found.errno == errno.ENOSPC
    assert system_errors.in_words(RuntimeError("out of range")) is None
