"""A static host that answers requests for ranges alone."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from typing import Iterator


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[tuple[str, list[int]]]:
    """Serve files by name; give the address and the list of the lengths that were sent."""
    sent: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path[1:])
            if data is None or "Range" not in self.headers:
                self.send_error(404)
                return
            start, end = self.headers["Range"].removeprefix("bytes=").split("-")
            part = data[int(start) : int(end) + 1]
            sent.append(len(part))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{int(start) + len(part) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", sent
        server.shutdown()
