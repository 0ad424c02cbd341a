"""Load on a gateway from processes of their own, each with several threads; every call's end is a line.

A line: `{"path", "ok", "call_id", "code", "reason", "at"}`. Lines of acknowledged calls are written after the
whole answer is there, so each is an acknowledgement that the caller has seen.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import grpc

from kit import echo
from kit.beside import MEMORY
from kit.wire import Denial

# Longest wait for one call, seconds: a crash ends calls at once, a lost one must not hold a thread.
CALL_S_MAX = 30
# Pause after a failure, seconds: while nobody serves, the threads don't spin.
PAUSE_S = 0.01


class Load:
    """Load that runs until it is stopped."""

    def __init__(self, address: str, key: str, methods: list[str], processes: int = 2, threads: int = 8):
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.logs = [pathlib.Path(self.folder.name) / f"{n}.jsonl" for n in range(processes)]
        command = [sys.executable, "-m", "trials.load", address, key, ",".join(methods), str(threads)]
        self.begun = time.monotonic()
        self.processes = [subprocess.Popen([*command, log], stdin=subprocess.PIPE) for log in self.logs]

    def calls_so_far(self) -> int:
        return sum(log.read_bytes().count(b"\n") for log in self.logs if log.exists())

    def stop(self) -> tuple[list[dict], float]:
        """All ends of calls, and for how long there was load, seconds."""
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            process.wait(CALL_S_MAX + 10)
        lasted = time.monotonic() - self.begun
        ends = [json.loads(line) for log in self.logs for line in log.read_text().splitlines()]
        return ends, lasted


def worker(address: str, key: str, methods: list[str], log: int, over: threading.Event) -> None:
    # Tries again soon after a crash; one try may take two seconds, for the machine may be busy with a build.
    options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
               ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 2000),
               ("grpc.max_reconnect_backoff_ms", 200)]
    channel = grpc.insecure_channel(address, options=options)
    stubs = [(method, channel.unary_unary(echo.path(method))) for method in methods]
    metadata = [("authorization", f"Bearer {key}")]
    request = echo.Echo()(payload=b"x" * 64).SerializeToString()
    turn = 0
    while not over.is_set():
        method, stub = stubs[turn % len(stubs)]
        turn += 1
        end = {"path": method}
        try:
            _, call = stub.with_call(request, metadata=metadata, timeout=CALL_S_MAX)
            end |= {"ok": True, "call_id": dict(call.initial_metadata()).get("oaas-call-id", "")}
        except grpc.RpcError as error:
            denial = Denial(error)
            call_id = denial.headers.get("oaas-call-id") or denial.trailers.get("oaas-call-id", "")
            end |= {"ok": False, "call_id": call_id, "code": denial.code.name, "reason": denial.reason,
                    "message": denial.message}
        end["at"] = time.time()
        os.write(log, (json.dumps(end) + "\n").encode())
        if not end["ok"]:
            time.sleep(PAUSE_S)


def main(address: str, key: str, methods: str, threads: str, log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    over = threading.Event()
    arguments = (address, key, methods.split(","), file, over)
    workers = [threading.Thread(target=worker, args=arguments) for _ in range(int(threads))]
    for thread in workers:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in workers:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
