"""The foreign service's contract: its descriptor set and its catalog entry."""

import functools
import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ACME = pathlib.Path(__file__).resolve().parents[1] / "acme"
SERVICE = "acme.echo.v1.EchoService"


@functools.cache
def descriptors() -> bytes:
    """An encoded `FileDescriptorSet`, compiled here."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "echo.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ACME}", "--include_source_info"]
        subprocess.run([*command, "--include_imports", f"--descriptor_set_out={path}", "echo.proto"], check=True)
        return path.read_bytes()


@functools.cache
def Echo():
    """The message's class."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("acme.echo.v1.Echo"))


def path(method: str, service: str = SERVICE) -> str:
    return f"/{service}/{method}"


def away(endpoint: str) -> str:
    """The catalog entry of the service that nobody serves."""
    return f"""\
service: acme.echo.v1.AwayService
title: {{ en: Away, zh: 不在 }}
summary: {{ en: "Nobody serves it.", zh: "无人提供。" }}
owner: acme@example.com
domain: acme
stage: ga
visibility: internal
upstream: {{ endpoints: ["http://{endpoint}"], descriptors: {{ file: acme/echo.binpb }} }}
methods:
  Say: {{ effect: write }}
"""


def entry(endpoint: str, how: str = "reflection: true", service: str = SERVICE, more: str = "", say: str = "",
          visibility: str = "internal", deadline_ms: int = 2000, price: str = "0.01", summary: str = "Says back.") -> str:
    """The catalog entry; `more` goes to the service, `say` to its method Say."""
    indented = lambda text, by: "".join(f"{' ' * by}{line}\n" for line in text.splitlines())
    return f"""\
service: {service}
title: {{ en: Echo, zh: 回声 }}
summary: {{ en: "{summary}", zh: "{summary}" }}
owner: acme@example.com
domain: acme
stage: ga
visibility: {visibility}
upstream:
  endpoints: ["http://{endpoint}"]
  descriptors: {{ {how} }}
sla: {{ deadline_ms: {deadline_ms}, p99_ms: 100, availability_percent: 99.0 }}
{more}
methods:
  Say:
    effect: read
    audit: standard
    price: {{ amount: "{price}", currency: CNY, unit: call }}
{indented(say, 4)}
  Tell: {{ effect: write, audit: strict }}
  Gather: {{ effect: read }}
  Spread: {{ effect: read }}
  Chat: {{ effect: read }}
"""
