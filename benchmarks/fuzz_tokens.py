"""Pieces of each format's syntax that fuzzing puts into files."""

from __future__ import annotations

CSV = (
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"-1",
    b"nan",
    b"inf",
    b"1e400",
    b"\xef\xbb\xbf",
    b"9" * 5000,
)
JSON = (
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"true",
    b'""',
    b"-1",
    b"1e999",
    b"NaN",
    b"{}",
    b"[]",
    b"9" * 5000,
    b"[" * 5000,
)
TOML = (*JSON, b"\n[a.b]\n", b"[[a]]\n", b"= ", b"inf", b"1979-05-27", b"'''", b"a." * 3000)
NPY = (
    b"'descr': '|O'",
    b"'<f2'",
    b"'|S9'",
    b"'<U9'",
    b"True",
    b"(99999, 99999)",
    b"(0,)",
    b"\x80\x04",
    b"cos\nsystem\n",
)
PICKLE = (
    b"cos\nsystem\n",
    b"R",
    b"Q",
    b"\x85",
    b"\x93",
    b"(",
    b"}",
    b"\x8a\xff",
    b"b",
    b"s",
    b"u",
    b".",
    b"h\x00",
)
KERAS = (
    b"Lambda",
    b"TFSMLayer",
    b'"module": "os"',
    b'"class_name": "system"',
    b"1000000000",
    *JSON,
)
