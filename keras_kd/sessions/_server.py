"""A web server for one page on this machine: a fixed list of files, for its own address alone."""

from __future__ import annotations

import mimetypes
import threading
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from keras_kd._common.folders import files_below
from keras_kd.errors import OutputError

TYPES = {".wasm": "application/wasm", ".js": "text/javascript", ".html": "text/html; charset=utf-8"}
# Connections at once, seconds of silence in a request, and seconds that one may take in all.
CONNECTIONS, SILENCE, LONGEST = 32, 10, 60


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for files by their exact names, without a line for each on the
    terminal.
    """

    timeout = SILENCE

    def __init__(self, files: dict[str, bytes], policy: str, *args: Any) -> None:
        self._files, self._policy = files, policy
        super().__init__(*args)

    def do_GET(self) -> None:
        content = self._head()
        if content is not None:
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self._head()

    def _head(self) -> bytes | None:
        """Send the status and headers; return the file, None where there is none to send."""
        if not self._is_of_this_page():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "This page has another address")
            return None
        name = unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
        content = self._files.get(name)
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        suffix = Path(name).suffix
        kind = TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def _is_of_this_page(self) -> bool:
        """Whether the browser was sent here by this page's address, not by a name that leads
        here.
        """
        port = cast(ThreadingHTTPServer, self.server).server_port
        own = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        origin = self.headers.get("Origin")
        hosts = self.headers.get_all("Host", [])
        # Another site's name may be made to lead to this machine (DNS rebinding), and a whole
        # address in place of a path would go before the host.
        return (
            len(hosts) == 1
            and hosts[0] in own
            and self.path.startswith("/")
            and (origin is None or origin in {f"http://{host}" for host in own})
        )

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", f"{self._policy}; frame-ancestors 'none'")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    """So many connections at once and no more; each ends, whatever its other side does."""

    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        limit = threading.Timer(LONGEST, self.shutdown_request, (request,))
        limit.daemon = True
        limit.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            limit.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A page that is closed while it loads is no error worth a traceback.
        pass


def server(folder: Path, policy: str, port: int) -> ThreadingHTTPServer:
    """Return a server of the files that lie in a folder now, for this machine alone.

    Args:
        folder: its files are read at once; links in it are left out.
        policy: content security policy, to which no frame of another page is added.
        port: 0 takes a free one.

    Raises:
        OutputError: the port is taken.
    """
    # Read once: what comes into the folder later, and paths out of it, can't be asked for.
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files_below(folder)
        if path.is_file() and not path.is_symlink()
    }
    try:
        return _Server(("127.0.0.1", port), partial(_Handler, files, policy))
    except OSError as error:
        raise OutputError(
            f"Port {port} can't be used ({error.strerror}): choose another --port."
        ) from error
