"""A folder of results on a page of this computer alone, whose buttons write labels.

All of it lies below a secret first part of the address, so that neither other users of the computer nor other
pages of the browser get to it.
"""

import json
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from humtune.errors import UsageError
from humtune.runtime.labels import add_label, read_labels
from humtune.runtime.log import read_log
from humtune.runtime.page import PAGE, with_labels
from humtune.runtime.results import DETAILS, detail_name

HOST = "127.0.0.1"
_KINDS = {".html": "text/html; charset=utf-8", ".png": "image/png", ".flac": "audio/flac"}
_MOST = 10_000  # bytes of a request


class Review(ThreadingHTTPServer):
    """Serves a folder of results; `address` is what to open."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        """Listen on a port, 0: any free one. UsageError where it is taken, or the folder has no page."""
        self.folder, self.token = folder, secrets.token_urlsafe(16)
        if not (folder / PAGE).is_file():
            why = f"no results to look at, it has no {PAGE}; humtune score writes one"
            if not folder.exists():
                why = "no such folder; humtune score MODEL RECORDINGS --out DIR makes it"
            elif folder.is_file():
                why = "a file; name the folder that it lies in"
            raise UsageError(f"{folder}: {why}")
        read_labels(folder)  # an error in them is better told now than when one is added
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"--port {port}: can't be listened on ({error})") from error

    @property
    def address(self) -> str:
        """Where the page is, with its secret."""
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"

    def label(self, detail: str, label: str) -> None:
        """Label the recording of that detail name; UsageError where there is none, or no such label."""
        for entry in read_log(self.folder):
            if detail_name(entry.file, entry.model) == detail:
                return add_label(self.folder, entry.file, label)
        raise UsageError("no such recording in the log")


class _Handler(BaseHTTPRequestHandler):
    server: Review
    protocol_version = "HTTP/1.1"
    timeout = 60.0

    def do_GET(self) -> None:
        path = self._below()
        if path is None:
            return self._answer(HTTPStatus.NOT_FOUND, b"not here")
        folder, name = self.server.folder, path or PAGE
        allowed = name == PAGE or (name.startswith(f"{DETAILS}/") and name.count("/") == 1)
        kind = _KINDS.get(Path(name).suffix)
        try:
            content = (folder / name).read_bytes() if allowed and kind else None
        except (OSError, ValueError):
            content = None
        if content is None or kind is None:
            return self._answer(HTTPStatus.NOT_FOUND, b"not here")
        if name == PAGE:
            try:
                content = with_labels(content, read_labels(folder))
            except UsageError as error:  # who mends labels.csv by hand
                told = str(error).encode(errors="replace")
                return self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, told)
        return self._answer(HTTPStatus.OK, content, kind)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self._below() != "labels" or not length.isdecimal() or int(length) > _MOST:
            self.close_connection = True
            return self._answer(HTTPStatus.NOT_FOUND, b"not here")
        try:
            said: Any = json.loads(self.rfile.read(int(length)))
            self.server.label(str(said["recording"]), str(said["label"]))
        except (ValueError, TypeError, KeyError):
            return self._answer(HTTPStatus.BAD_REQUEST, b"expected a recording and a label")
        except UsageError as error:
            return self._answer(HTTPStatus.BAD_REQUEST, str(error).encode(errors="replace"))
        return self._answer(HTTPStatus.OK, b"saved")

    def log_message(self, *_: object) -> None:
        """Nothing: who looks at the page sees what goes wrong there."""

    def _below(self) -> str | None:
        """The path below the secret; None without the secret, or where another host is asked."""
        parts = unquote(urlsplit(self.path).path).split("/", 2)
        host = f"{HOST}:{self.server.server_address[1]}"
        if len(parts) < 3 or self.headers.get("Host") != host:
            return None
        return parts[2] if secrets.compare_digest(parts[1].encode(), self.server.token.encode()) else None

    def _answer(self, status: HTTPStatus, content: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
