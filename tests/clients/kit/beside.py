"""Processes beside the program: upstreams in Python and Node, and a receiver of alerts."""

import atexit
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

from kit.check import SkipSuite

# Where the witnesses write: in memory, if it can be, so that a busy disk holds up the program alone.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
NODE_FILES = pathlib.Path(__file__).resolve().parents[1] / "node"


class Beside:
    """A process that prints its port first and ends with its standard input."""

    def __init__(self, command: list, environment: dict | None = None):
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | (environment or {}),
        )
        atexit.register(self.process.kill)
        line = self.process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError(f"{command} did not start: {line!r}")
        self.address = f"127.0.0.1:{int(line)}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        atexit.unregister(self.process.kill)


class PythonUpstream(Beside):
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.log = pathlib.Path(self.folder.name) / "executed.jsonl"
        super().__init__([sys.executable, "-m", "trials.upstream", self.log])

    def executed(self) -> list[dict]:
        """One entry for each call that it made."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


class NodeUpstream(Beside):
    """The same service, kept by no gRPC library: it can do what none of them does."""

    def __init__(self):
        needs_node()
        super().__init__(["node", NODE_FILES / "upstream.cjs"])


def needs_node() -> None:
    if shutil.which("node") is None:
        raise SkipSuite("there is no node; install Node 20 or later (Debian: apt-get install nodejs npm)")


def node() -> pathlib.Path:
    """The folder of the Node packages."""
    needs_node()
    if not os.environ.get("CLIENTS_NODE"):
        raise SkipSuite(os.environ.get("CLIENTS_NODE_WHY") or "there are no Node packages")
    return pathlib.Path(os.environ["CLIENTS_NODE"])


class AlertReceiver:
    """A webhook: keeps what Alertmanager would be sent."""

    def __init__(self):
        self.posts = []
        posts = self.posts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                posts.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/alerts"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def alerts(self, **labels) -> list[dict]:
        """Alerts that carry these labels."""
        every = [alert for post in list(self.posts) for alert in post["alerts"]]
        return [alert for alert in every if all(alert["labels"].get(name) == value for name, value in labels.items())]
