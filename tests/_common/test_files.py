"""Arrays on disk: collected row by row, and read in a random order."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import socket
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import fault_power
import numpy as np
import pytest

from keras_kd._common import arrays, files, folders, paths
from keras_kd._common.arrays import ImageRows, read_ahead
from keras_kd.errors import OutputError


def test_rows_that_come_one_by_one_are_one_array():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 1), np.uint8)
    rows = ImageRows((4, 3, 1))
    for image in images:
        rows.append(image.ravel())
    found = rows.array()
    del rows
    np.testing.assert_array_equal(found, images)


def _waited_for(path: Path, rows: np.ndarray, ahead: bool) -> int:
    """How often reading the rows of a file that isn't in memory had to wait for the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    mapped = np.load(path, mmap_mode="r")[10:]  # a part, whose rows lie elsewhere in the file
    if ahead:
        read_ahead(mapped, rows)
        time.sleep(2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    assert mapped[rows].sum() == int(rows.sum()) * 5000 + 50_000 * len(rows)
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt - before


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="can't empty the page cache")
def test_rows_are_read_before_they_are_waited_for(tmp_path):
    # Each row is one number, its own, and longer than a page; far apart, so that no row comes with
    # another.
    array = np.repeat(np.arange(20_000, dtype=np.uint16)[:, None], 5000, axis=1)
    np.save(tmp_path / "rows.npy", array)
    rows = np.random.default_rng(0).permutation(19_900)[:50].astype(int)
    alone, ahead = (
        _waited_for(tmp_path / "rows.npy", rows, False),
        _waited_for(tmp_path / "rows.npy", rows, True),
    )
    if not alone:
        pytest.skip("the file system keeps the file in memory")
    assert ahead < alone / 5
    read_ahead(array, rows)  # nothing to do


def test_the_space_of_a_large_array_is_claimed_at_once(tmp_path, monkeypatch):
    with (tmp_path / "file").open("wb") as file:
        files.claim(file, 2**20)
    assert (tmp_path / "file").stat().st_blocks * 512 >= 2**20
    opened, temporary_file = [], tempfile.TemporaryFile

    def seen():
        file = temporary_file()
        opened.append(os.dup(file.fileno()))
        return file

    monkeypatch.setattr(arrays, "LARGEST_IN_MEMORY", 2**20)
    monkeypatch.setattr(tempfile, "TemporaryFile", seen)
    assert not arrays.large_array((2**22,)).any()
    assert os.fstat(opened[0]).st_blocks * 512 >= 2**22
    os.close(opened[0])


def test_an_array_that_no_disk_holds_is_refused_with_its_size():
    with pytest.raises(OutputError, match=r"^28,709 arrays of 100000x100000x1 take 287,090\.0 GB"):
        arrays.large_array((28_709, 100_000, 100_000, 1))
    # More bytes than NumPy's numbers count.
    with pytest.raises(
        OutputError, match="^30 arrays of 999999999x999999999x3 take 89,999,999,820"
    ):
        arrays.large_array((30, 999_999_999, 999_999_999, 3))


def test_names_that_are_no_utf_8_are_written_as_python_shows_them(tmp_path):
    files.write_text(tmp_path / "a.json", json.dumps({"name": "M\udcfc.mp4"}, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["name"] == "M\udcfc.mp4"


def test_a_folder_in_the_way_is_told(tmp_path):
    with pytest.raises(
        OutputError, match=f"Can't write {tmp_path}: a folder is there: choose another path"
    ):
        files.write_text(tmp_path, "x")
    with pytest.raises(OutputError, match="the name is too long: choose a shorter one"):
        files.write_text(tmp_path / ("x" * 300), "x")


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such files")
def test_no_pipe_socket_or_stream_is_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    before = {path.name: path.lstat().st_ino for path in tmp_path.iterdir()}
    for name in before:
        with pytest.raises(OutputError, match="a pipe or a device is there: choose another path"):
            files.write_text(tmp_path / name, "x")
    assert {path.name: path.lstat().st_ino for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("place", ["gs://b/x", "s3:/b/x", "http://h/x", "file:///tmp/x", "hdfs:/x"])
def test_no_folder_is_made_for_an_address(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAKD_CACHE", place)
    writers = (
        lambda: files.write_text(place, "x"),
        lambda: folders.folder_written_whole(Path(place), ("index.html",)).__enter__(),
        lambda: files.locked(Path(place)).__enter__(),
        lambda: folders.cache_folder("teachers"),
    )
    for write in writers:
        with pytest.raises(OutputError, match="results go to local files, not to .* addresses"):
            write()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["~", "~/runs/a"])
def test_no_folder_is_called_as_the_home_folder(place, tmp_path, monkeypatch):
    """As `--out=~/runs` would: who then removes it by `rm -r ~` loses the other one."""
    monkeypatch.chdir(tmp_path)
    for write in (
        lambda: files.write_text(place, "x"),
        lambda: folders.folder_written_whole(Path(place), ("index.html",)).__enter__(),
        lambda: files.locked(Path(place)).__enter__(),
    ):
        with pytest.raises(OutputError, match="it would be a folder called ~ here"):
            write()
    assert not list(tmp_path.iterdir())
    files.write_text("./~a", "x")


def test_no_file_is_called_as_standard_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for write in (
        lambda: files.write_text("-", "x"),
        lambda: files.locked(Path("-")).__enter__(),
    ):
        with pytest.raises(OutputError, match="of that name here, and not standard output: name"):
            write()
    assert not list(tmp_path.iterdir())


def test_names_with_colons_are_no_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("12:30.txt", "a/b:/c.txt", "C:/x.txt", "gs:b.txt"):
        files.write_text(place, "x")
        assert Path(place).read_text() == "x"


def test_a_locked_folder_may_vanish(tmp_path):
    with files.locked(tmp_path / "new"):
        shutil.rmtree(tmp_path / "new")
    assert not any(tmp_path.iterdir())


def test_what_a_killed_writer_of_a_folder_left_goes_with_the_next_writing(tmp_path):
    left, neighbour = tmp_path / ".page-partial-1" / "new", tmp_path / ".pages-partial-1"
    left.mkdir(parents=True)
    neighbour.mkdir()
    (left / "index.html").write_text("half")
    with folders.folder_written_whole(tmp_path / "page", ("index.html",)) as made:
        (made / "index.html").write_text("whole")
    assert (tmp_path / "page" / "index.html").read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == [neighbour, tmp_path / "page"]


@pytest.mark.parametrize("older", [[], ["index.html"]], ids=["empty", "an older page"])
def test_what_file_managers_leave_in_a_folder_is_nothing_to_lose(older, tmp_path):
    page = tmp_path / "page"
    page.mkdir()
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", *older):
        (page / name).write_text("old")
    with folders.folder_written_whole(page, ("index.html",)) as made:
        (made / "index.html").write_text("new")
    assert [(file.name, file.read_text()) for file in page.iterdir()] == [("index.html", "new")]


def test_of_two_writers_of_a_folder_one_wins_and_the_other_says_so(tmp_path):
    path = tmp_path / "page"
    with (
        pytest.raises(OutputError, match="another process wrote it at the same time"),
        folders.folder_written_whole(path, ("index.html",)) as one,
    ):
        (one / "index.html").write_text("first")
        with folders.folder_written_whole(path, ("index.html",)) as other:
            (other / "index.html").write_text("second")
        (one / "model.json").write_text("{}")
    assert (path / "index.html").read_text() == "second" and list(tmp_path.iterdir()) == [path]


def test_a_cache_that_others_can_write_to_is_refused(tmp_path, monkeypatch):
    cache = tmp_path / "new" / "cache"
    monkeypatch.setenv("KERAKD_CACHE", str(cache))
    assert folders.cache_folder("teachers") == cache / "teachers"
    assert cache.stat().st_mode & 0o777 == 0o700
    assert (cache / "teachers").stat().st_mode & 0o777 == 0o700
    for open_to_others in (cache, cache / "teachers"):
        for mode in (0o1777, 0o770, 0o702):
            open_to_others.chmod(mode)
            with pytest.raises(
                OutputError, match=f"can write to the cache folder {open_to_others}: chmod -R"
            ):
                folders.cache_folder("teachers")
        open_to_others.chmod(0o755)
    assert folders.cache_folder("teachers") == cache / "teachers"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root alone can give away")
def test_a_cache_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path))
    os.chown(tmp_path, 65534, -1)
    with pytest.raises(OutputError, match=f"{tmp_path} belongs to another user, number 65534: set"):
        folders.cache_folder("teachers")


WRITERS = """
from pathlib import Path
from keras_kd._common import files, folders
files.write_text("result.txt", "a")
for _ in range(2):
    with folders.folder_written_whole(Path("page"), ("index.html", "parts")) as made:
        (made / "index.html").write_text("a")
        (made / "parts").mkdir()
        (made / "parts" / "part.js").write_text("a")
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace lists the calls")
def test_a_power_failure_leaves_no_name_without_its_content(tmp_path):
    trace = fault_power.traced(["-c", WRITERS], tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "index.html",
        "part.js",
        "result.txt",
    ]
    assert fault_power.unforced(trace, tmp_path) == []
    (tmp_path / "other.txt").write_text("b")
    forgotten = re.sub(r".*fsync.*part.js.*\n", "", trace)
    assert fault_power.unforced(forgotten, tmp_path) == [
        "other.txt: never forced",
        "page/parts/part.js: named before it was forced",
    ]


def test_a_call_that_strace_splits_counts_where_it_ended(tmp_path):
    (tmp_path / "a").touch()
    split = (
        f"7 fsync(3<{tmp_path}/.a> <unfinished ...>\n8 fsync(4<x>) = 0\n"
        "7 <... fsync resumed>) = 0\n"
        f'7 rename(".a", "a") = 0\n7 fsync(3<{tmp_path}>) = 0\n'
    )
    assert fault_power.unforced(split, tmp_path) == []
    late = split.replace("7 <... fsync resumed>) = 0\n", "") + "7 <... fsync resumed>) = 0\n"
    assert fault_power.unforced(late, tmp_path) == ["a: named before it was forced"]


@pytest.mark.parametrize(
    "writer",
    [files.locked, files.written_whole, lambda path: folders.folder_written_whole(path, ("mark",))],
)
def test_no_new_folder_is_left_empty_by_what_fails(writer, tmp_path):
    (tmp_path / "old").mkdir()
    with (
        pytest.raises(ValueError, match="refused"),
        writer(tmp_path / "old" / "new" / "deep" / "x"),
    ):
        raise ValueError("refused")
    with pytest.raises(OutputError), writer(tmp_path / "new" / ("x" * 300)):
        pass
    assert [*tmp_path.rglob("*")] == [tmp_path / "old"]


@pytest.mark.parametrize(
    ("flags", "reason"), [(os.ST_RDONLY, "the file system is read-only"), (0, "not permitted")]
)
def test_a_folder_that_takes_no_files_is_told_before_the_work(flags, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode, **ids: str(path) != str(tmp_path))
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=flags))
    with pytest.raises(OutputError, match=f"Can't write .*new/a.csv: .*{reason}"):
        files.require_apart([tmp_path / "new" / "a.csv"], [])
    assert not list(tmp_path.iterdir())


def test_the_working_folder_is_told_where_nothing_lies_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a folder of --unlabeled that is there and holds no picture."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert paths.advice("empty", "give pictures") == "give pictures"
    assert paths.advice("none", "give pictures").endswith(f"from the working folder, {tmp_path}")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["a/x.tflite", "b/y.tflite"], ["x.tflite", "y.tflite"]),
        (["a/run/x", "b/run/x", "b/y"], ["a/run/x", "b/run/x", "y"]),
        (["a/x", "b/x", "b/c/x"], ["a/x", "b/x", "c/x"]),
        (["x", "b/x"], ["folder/x", "b/x"]),
        (["a/x", "a/x", "./a/x"], ["x", "x", "x"]),
        ([".", "other"], ["folder", "other"]),
        (["runs/b/", "b"], ["runs/b", "folder/b"]),
    ],
)
def test_names_are_as_long_as_they_have_to_be(given, names, tmp_path, monkeypatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    assert paths.shortest_names(given) == [str(Path(name)) for name in names]
