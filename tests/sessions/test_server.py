"""The page's server: its own files, by its own address, whatever is asked."""

from __future__ import annotations

import http.client
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from web_driver import chromium

pytest.importorskip("av", reason="pages need the extra sessions")

from keras_kd.errors import OutputError
from keras_kd.sessions import _server


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    folder = tmp_path / "page"
    (folder / "litert").mkdir(parents=True)
    (folder / "index.html").write_text("<p>page</p>")
    (folder / "litert" / "a.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    server = _server.server(folder, "default-src 'none'", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, folder
    server.shutdown()
    server.server_close()


def _asked(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read(), dict(answer.headers)


def test_its_files_come_with_the_policy(served: tuple[int, Path]) -> None:
    port, _ = served
    status, content, headers = _asked(port, "/")
    assert (status, content) == (200, b"<p>page</p>")
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    status, content, headers = _asked(port, "/litert/a.wasm?x=1")
    assert (status, content, headers["Content-Type"]) == (200, b"\0asm", "application/wasm")
    assert _asked(port, "/", "HEAD")[:2] == (200, b"")
    assert _asked(port, "/", Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0] == 200


@pytest.mark.skipif(
    not (shutil.which("chromedriver") and shutil.which("chromium")),
    reason="Chromium or chromedriver is not installed: `make browser` installs them",
)
def test_no_page_can_frame_it(served: tuple[int, Path], tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{served[0]}/"
    outer = tmp_path / "outer.html"
    outer.write_text(f'<iframe src="{address}" onload="document.title = 1"></iframe>')
    with chromium() as browser:
        browser.open(address)
        assert browser.run("return document.body.innerText") == "page"
        browser.open(outer.as_uri())
        browser.wait("return document.title === '1'")
        told = [line["message"] for line in browser.log()]
    assert any(address in line and "frame-ancestors 'none'" in line for line in told), told


@pytest.mark.parametrize(
    "path",
    ["/link.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/litert", "/litert/", "//etc/passwd"],
)
def test_nothing_else_is_given(path: str, served: tuple[int, Path]) -> None:
    status, content, _ = _asked(served[0], path)
    assert status == 404 and b"secret" not in content and b"a.wasm" not in content


def test_what_is_planted_later_is_not_given(served: tuple[int, Path]) -> None:
    port, folder = served
    (folder / "index.html").unlink()
    (folder / "index.html").symlink_to(folder.parent / "secret.txt")
    (folder / "new.txt").write_text("new")
    assert _asked(port, "/")[1] == b"<p>page</p>"
    assert _asked(port, "/new.txt")[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_other_names_for_this_machine_are_refused(
    headers: dict[str, str], served: tuple[int, Path]
) -> None:
    status, content, _ = _asked(served[0], "/", **headers)
    assert status == 421 and b"<p>page</p>" not in content


@pytest.mark.parametrize(
    ("place", "hosts"),
    [
        ("http://evil.example/", ["127.0.0.1"]),
        ("/", ["127.0.0.1", "evil.example"]),
        ("/", ["evil.example", "127.0.0.1"]),
        ("/", []),
    ],
)
def test_requests_for_two_hosts_or_none_are_refused(
    place: str, hosts: list[str], served: tuple[int, Path]
) -> None:
    with socket.create_connection(("127.0.0.1", served[0]), timeout=30) as asked:
        lines = [f"GET {place} HTTP/1.1", *(f"Host: {host}:{served[0]}" for host in hosts)]
        asked.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = asked.makefile("rb").read()
    assert b" 421 " in answer.splitlines()[0] and b"<p>page</p>" not in answer


def test_unfinished_requests_do_not_hold_it(
    served: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_server._Handler, "timeout", 1)
    port, _ = served
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(_server.CONNECTIONS + 8)]
    for one in held:
        one.sendall(b"GET / HTTP/1.1\r\nHost: ")
    time.sleep(3)
    assert _asked(port, "/")[0] == 200
    for one in held:
        one.close()


def test_a_taken_port_is_told(served: tuple[int, Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"Port {served[0]} can't be used"):
        _server.server(tmp_path, "", served[0])
