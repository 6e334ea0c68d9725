"""The smallest HTTP harness (contract/harness.md): it also runs what Python it is told to.

A program of its own: it runs inside sandboxes, with whatever Python the system there has.
"""

import contextlib
import io
import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/session":
            self.reply([])
        elif self.path == "/event":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b'data: {"type": "server.connected"}\n\n')
            signal.pause()
        else:
            self.reply({"error": "unknown"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/session":
            self.reply({"id": "ses_toy"})
        elif self.path == "/run":
            said = io.StringIO()
            try:
                with contextlib.redirect_stdout(said):
                    exec(body["code"], {"__name__": "toy", "log": log})
            except BaseException as error:
                self.reply({"out": f"{type(error).__name__}: {error}"})
            else:
                self.reply({"out": said.getvalue()})

    def reply(self, value: object, status: int = 200) -> None:
        if self.headers["X-Password"] != os.environ["TOY_PASSWORD"]:
            value, status = {"error": "no"}, 401
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:  # type: ignore[explicit-override]
        """Say nothing; `typing.override` is too new for the Pythons this must run on."""


def log(text: str) -> None:
    os.write(1, text.encode())


def main() -> None:
    exec(os.environ.get("TOY_START", ""), {"log": log, "os": os, "signal": signal, "sys": sys})
    log("toy harness token " + os.environ["TOY_TOKEN"] + "\n")
    server = ThreadingHTTPServer((os.environ["TOY_HOST"], int(os.environ["PORT"])), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
