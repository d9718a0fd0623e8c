from __future__ import annotations

import gzip
import os
import tracemalloc

import pytest

from keras_kd._common import csv_files
from keras_kd.errors import DataError


def test_rows_come_in_the_asked_order_with_their_first_line(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b'\xef\xbb\xbf b , "A",extra\r\n1,2,3\r\n\r\n"4\n4", 5,6\r\n7\r\n')
    assert list(csv_files.rows(path, ("a", "B"))) == [
        (2, ["2", "1"]),
        (4, ["5", "4\n4"]),
        (6, ["", "7"]),
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_spreadsheets_name_their_separator_and_write_utf_16(tmp_path, encoding):
    path = tmp_path / "table.csv"
    text = 'sep=;\r\nfile;label\r\n"a, b.png";"Mädchen"\r\nc.png;"x\ny"\r\nd.png;z\r\n'
    path.write_bytes(text.encode(encoding))
    wanted = [(3, ["Mädchen", "a, b.png"]), (4, ["x\ny", "c.png"]), (6, ["z", "d.png"])]
    assert csv_files.header(path) == ["file", "label"]
    assert list(csv_files.rows(path, ["label", "file"])) == wanted


def test_missing_columns_are_named(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("emotion,pixel\n1,2\n")
    with pytest.raises(
        DataError, match=r"table\.csv has no column pixels, Usage: .*received emotion, pixel"
    ):
        list(csv_files.rows(path, ("emotion", "pixels", "Usage")))


def test_a_separator_that_is_rarer_than_another_can_be_named(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("file;label;seen, heard, felt or told\na.png;cat;1\n")
    with pytest.raises(DataError, match="received file;label;seen, .* most often: if it is ;, wr"):
        list(csv_files.rows(path, ("file", "label")))
    path.write_text("sep=;\n" + path.read_text())
    assert list(csv_files.rows(path, ("file", "label"))) == [(3, ["a.png", "cat"])]
    # Commas in quotes separate nothing.
    path.write_text('file;label;"seen, heard, felt or told"\na.png;cat;1\n')
    assert list(csv_files.rows(path, ("file", "label"))) == [(2, ["a.png", "cat"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "received nothing"),
        (b"a,b\n1,2\n\xff\xfe,3\n", "not UTF-8 text; save the file as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "null characters, as UTF-16 and UTF-32 do, and a"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "not UTF-8 text; unpack it"),
        (b'a,b,note\n1,2,"x\n3,4,y\n5,6,z\n', "line 2: not a csv row .unexpected end of data"),
        (b'a,b,note\n1,2,"x\n3,4,y\n5,6,"z\n', "line 2: not a csv row .',' expected after"),
        (b'a,b\n1,2\n"' + b"3," * 100_000, "line 3: not a csv row"),
    ],
)
def test_unreadable_text_is_refused_with_its_place(tmp_path, content, message):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(csv_files.rows(path, ("a", "b")))


def test_empty_lines_before_the_column_names_are_passed_over(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("\n  \na,b\n\n1,2\n")
    assert csv_files.header(path) == ["a", "b"]
    assert list(csv_files.rows(path, ("b", "a"))) == [(5, ["2", "1"])]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv can't be read \(No such file"):
        list(csv_files.rows(tmp_path / "none.csv", ("a",)))


def test_header_of_an_unreadable_file_is_empty(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xff\xfe\x00")
    assert csv_files.header(path) == []
    path.write_text(" A,b \n")
    assert csv_files.header(path) == ["a", "b"]


def test_a_gigabyte_without_a_line_break_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    os.truncate(path, 2**30)
    tracemalloc.start()
    with pytest.raises(
        DataError,
        match=r"table.csv, line 3: not a csv row \(a line of 1,048,576 characters or more\)",
    ):
        list(csv_files.rows(path, ("a", "b")))
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
