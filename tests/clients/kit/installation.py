"""An installation of the program in a folder of its own: catalog, callers, data, process."""

import atexit
import base64
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import blake3

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = os.environ["CLIENTS_PROGRAM"]
FULL = bool(os.environ.get("CLIENTS_FULL"))
# Longest time from the start of the process to its line, seconds; a machine that builds is slow.
START_S_MAX = 30
# Longest time of a command, seconds.
COMMAND_S_MAX = 120
# As the program says it: another context would make other digests of the same keys.
KEY_CONTEXT = "oaas 2026-11 api key digest v1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def data_folder() -> pathlib.Path | None:
    """The real data, where it is there."""
    for folder in (os.environ.get("OAAS_TEST_DATA"), ROOT.parent / "shared" / "data"):
        if folder and pathlib.Path(folder).is_dir():
            return pathlib.Path(folder)
    return None


class Caller:
    """An application of the callers file."""

    def __init__(self, name: str, subscriptions=(), roles=(), key_fields: str = "", credentials=()):
        self.name, self.subscriptions, self.roles, self.key_fields = name, list(subscriptions), list(roles), key_fields
        self.credentials = list(credentials)
        secret = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
        self.prefix = "oaas_" + base64.b32encode(os.urandom(5)).decode().lower()
        self.key = f"{self.prefix}_{secret}"

    def yaml(self) -> str:
        digest = blake3.blake3(self.key.encode(), derive_key_context=KEY_CONTEXT).hexdigest()
        lines = [f"  - id: {self.name}", f"    owner: {self.name}@example.com"]
        if self.roles:
            lines.append(f"    roles: [{', '.join(self.roles)}]")
        fields = f", {self.key_fields}" if self.key_fields else ""
        lines.append("    credentials:")
        lines.append(f'      - api_key: {{ prefix: {self.prefix}, digest: "{digest}"{fields} }}')
        lines += [f"      - {credential}" for credential in self.credentials]
        if self.subscriptions:
            lines.append("    subscriptions:")
            lines += [f"      - {{ {subscription} }}" for subscription in self.subscriptions]
        return "\n".join(lines)


def subscription(service: str, plan: str, more: str = "") -> str:
    return f'service: "{service}", plan: {plan}' + (f", {more}" if more else "")


class Installation:
    """A folder with all that a process needs, and the process."""

    def __init__(self, callers=(), settings: str = "", issuers: str = ""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="oaas-clients-"))
        self.catalog = self.folder / "catalog"
        shutil.copytree(ROOT / "catalog", self.catalog)
        (self.folder / "deploy").mkdir()
        self.callers_file = self.folder / "deploy" / "callers.yaml"
        self.callers = {caller.name: caller for caller in callers}
        self.issuers = issuers
        self.write_callers()
        self.settings = self.folder / "settings.yaml"
        self.settings.write_text(settings + "\ndrain: { wait_ms: 0, grace_ms: 2000 }\n")
        self.data = self.folder / "data"
        self.port, self.admin_port = free_port(), free_port()
        self.log_path = self.folder / "serve.log"
        self.process, self.line = None, {}
        atexit.register(self.remove)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def write_callers(self) -> None:
        text = "applications:\n" + "\n".join(caller.yaml() for caller in self.callers.values())
        replace(self.callers_file, (text if self.callers else "applications: []") + "\n" + self.issuers)

    def put_service(self, path: str, text: str) -> None:
        (self.catalog / path).parent.mkdir(exist_ok=True)
        replace(self.catalog / path, text)

    def add_plans(self, text: str) -> None:
        with (self.catalog / "plans.yaml").open("a") as plans:
            plans.write("\n" + text)

    def environment(self) -> dict:
        names = {n: v for n, v in os.environ.items() if not n.startswith(("OAAS_", "CLIENTS_", "PYTHON"))}
        return names | {"NO_COLOR": "1", "TZ": "UTC"}

    def flags(self) -> list[str]:
        return ["--config", self.settings, "--catalog", self.catalog, "--callers", self.callers_file, "--data", self.data]

    def start(self) -> float:
        """Starts the process; says how long it took until it serves, seconds."""
        begun = time.monotonic()
        listen = ["--listen", self.address, "--admin", f"127.0.0.1:{self.admin_port}"]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "--json", "serve", *self.flags(), *listen],
                stdout=subprocess.PIPE, stderr=log, env=self.environment(), cwd=self.folder,
                # A file limit that a trial sets shall fail its writes, not end the process: SIGXFSZ stays ignored.
                restore_signals=False,
            )
        os.set_blocking(self.process.stdout.fileno(), False)
        text = b""
        while b"\n" not in text:
            if time.monotonic() - begun > START_S_MAX or self.process.poll() is not None:
                self.process.kill()
                raise RuntimeError(f"the program does not start:\n{self.log()[-2000:]}")
            text += self.process.stdout.read() or b""
            time.sleep(0.005)
        self.line = json.loads(text)
        return time.monotonic() - begun

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, patience_s: float = 20) -> int:
        """SIGTERM; the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"still running {patience_s} s after SIGTERM:\n{self.log()[-2000:]}") from None

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if os.environ.get("CLIENTS_KEEP"):
            print(f"   kept {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Installation":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(RuntimeError):
            self.stop()
        self.remove()
        atexit.unregister(self.remove)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def get(self, path: str) -> str:
        """A page of the operators' port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def command(self, *words, caller: str = "", stdin: str = "") -> subprocess.CompletedProcess:
        """A command of the program, against this installation."""
        environment = self.environment() | {"OAAS_ADDRESS": f"http://{self.address}"}
        if caller:
            environment["OAAS_KEY"] = self.callers[caller].key
        # Settings may stand after the command too, and so the command's own words stay in front.
        return subprocess.run(
            [PROGRAM, *map(str, words), *map(str, self.flags())],
            env=environment, cwd=self.folder, input=stdin, capture_output=True, text=True, timeout=COMMAND_S_MAX,
        )

    def journal(self) -> list[dict]:
        """Every record, oldest first, as the command line reads them."""
        done = self.command("--json", "audit", "tail", "-n", "1000000")
        if done.returncode != 0:
            raise RuntimeError(f"audit tail: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def version_in_force(self) -> str:
        """The catalog version that the latest start or reload put in force, by the journal."""
        version = self.line["catalog"]
        for record in self.journal():
            act = record.get("administration", {})
            if act.get("action") == "catalog.reload":
                version = act["details"]["to"]
        return version


def replace(path: pathlib.Path, text: str) -> None:
    """Writes a file at once: nobody sees half of it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.rename(path)


def wait_until(truth, patience_s: float, what: str, every_s: float = 0.05):
    """The first true value, or a failure."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = truth()
        if found:
            return found
        time.sleep(every_s)
    raise AssertionError(f"not within {patience_s} s: {what}")
