"""A service in Python behind the gateway: bytes back as they came, faults on demand, a log of what it did.

A call says in its metadata what shall go wrong (`x-fault: error | stall`), so that the sequence of faults is
the client's and the same in each run. Every executed call is a line in the log before it is answered.
"""

import json
import os
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection

from kit import echo

# How long a stalled call waits, seconds; its caller gives up long before.
STALL_S = 30
WORKERS = 64


class Upstream:
    def __init__(self, log: str):
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def executed(self, context, method: str) -> None:
        metadata = dict(context.invocation_metadata())
        line = {"call_id": metadata.get("oaas-call-id", ""), "method": method, "metadata": sorted(metadata)}
        line["application"] = metadata.get("oaas-application", "")
        # One write: lines of several threads don't mix, and a line that is written is in the file.
        os.write(self.log, (json.dumps(line) + "\n").encode())
        self.suffer(context, metadata.get("x-fault", ""))

    def suffer(self, context, fault: str) -> None:
        if fault == "error":
            context.abort(grpc.StatusCode.INTERNAL, "broken on demand")
        if fault == "stall":
            gone = threading.Event()
            if context.add_callback(gone.set):
                gone.wait(STALL_S)

    def say(self, request: bytes, context) -> bytes:
        self.executed(context, "Say")
        return request

    def tell(self, request: bytes, context) -> bytes:
        self.executed(context, "Tell")
        return request

    def gather(self, requests, context) -> bytes:
        self.executed(context, "Gather")
        last = b""
        for last in requests:
            pass
        return last

    def spread(self, request: bytes, context):
        self.executed(context, "Spread")
        for _ in range(echo.Echo().FromString(request).count):
            yield request

    def chat(self, requests, context):
        self.executed(context, "Chat")
        yield from requests

    def handlers(self) -> dict:
        # No codec: what is answered is what came, byte for byte.
        return {
            "Say": grpc.unary_unary_rpc_method_handler(self.say),
            "Tell": grpc.unary_unary_rpc_method_handler(self.tell),
            "Gather": grpc.stream_unary_rpc_method_handler(self.gather),
            "Spread": grpc.unary_stream_rpc_method_handler(self.spread),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
        }


def reflect(server) -> None:
    """Reflection as everybody switches it on in Python, which is v1alpha alone."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(echo.descriptors()).file:
        pool.Add(file)
    reflection.enable_server_reflection([echo.SERVICE, reflection.SERVICE_NAME], server, pool=pool)


def main(log: str) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(WORKERS), options=[("grpc.max_receive_message_length", -1)])
    upstream = Upstream(log)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(echo.SERVICE, upstream.handlers())])
    reflect(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()  # until the one who started it goes


if __name__ == "__main__":
    main(sys.argv[1])
