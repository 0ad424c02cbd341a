"""Channels with a key, refusals taken apart, messages built from reflection."""

import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

# Longest time of a call that says nothing else, seconds; the catalog's deadlines are shorter.
CALL_S_MAX = 20
REFLECTION = ("v1", "v1alpha")
DETAILS = {
    f"google.rpc.{name}": getattr(error_details_pb2, name)
    for name in (
        "ErrorInfo", "RetryInfo", "LocalizedMessage", "BadRequest", "QuotaFailure", "Help", "RequestInfo", "ResourceInfo",
    )
}


class Denial:
    """A refused call: code, reason, details by name, headers and trailers."""

    def __init__(self, error: grpc.RpcError):
        self.code, self.message = error.code(), error.details()
        self.headers = dict(error.initial_metadata() or ())
        self.trailers = dict(error.trailing_metadata() or ())
        self.details, self.order = {}, []
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            name = detail.type_url.rsplit("/", 1)[-1]
            message = DETAILS[name]()
            detail.Unpack(message)
            self.details[name.rsplit(".", 1)[-1]] = message
            self.order.append(name.rsplit(".", 1)[-1])

    @property
    def reason(self) -> str:
        info = self.details.get("ErrorInfo")
        return info.reason if info else ""

    @property
    def facts(self) -> dict:
        return dict(self.details["ErrorInfo"].metadata)

    @property
    def retry_s(self) -> float | None:
        retry = self.details.get("RetryInfo")
        return None if retry is None else retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9

    def __str__(self) -> str:
        return f"{self.code} {self.reason or '(no reason)'}: {self.message}"


class Client:
    """One caller at one gateway."""

    def __init__(self, address: str, key: str = "", metadata=(), tls: grpc.ChannelCredentials | None = None):
        options = [("grpc.enable_retries", 0)]
        plain = lambda: grpc.insecure_channel(address, options=options)
        self.channel = grpc.secure_channel(address, tls, options=options) if tls else plain()
        self.metadata = list(metadata) + ([("authorization", f"Bearer {key}")] if key else [])
        self.pool = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self.channel.close()

    def raw(self, path: str, request: bytes, metadata=(), timeout: float | None = CALL_S_MAX):
        """One unary call in bytes: (answer, headers, trailers), or raises `grpc.RpcError`."""
        call = self.channel.unary_unary(path)
        answer, done = call.with_call(request, metadata=self.metadata + list(metadata), timeout=timeout)
        return answer, dict(done.initial_metadata()), dict(done.trailing_metadata())

    def denied(self, path: str, request: bytes = b"", metadata=(), timeout: float | None = CALL_S_MAX) -> Denial:
        """The refusal of a call that must be refused."""
        try:
            self.raw(path, request, metadata, timeout)
        except grpc.RpcError as error:
            return Denial(error)
        raise AssertionError(f"{path} was not refused")

    # -- reflection

    def ask(self, version: str, **question):
        """One question to the reflection; its answer."""
        request = reflection_pb2.ServerReflectionRequest(**question)
        stream = self.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        return next(stream(iter([request]), metadata=self.metadata, timeout=CALL_S_MAX))

    def services(self, version: str = "v1") -> list[str]:
        answer = self.ask(version, list_services="")
        return [service.name for service in answer.list_services_response.service]

    def learn(self, service: str, version: str = "v1") -> descriptor_pool.DescriptorPool:
        """A pool with all files that describe the service, fetched one by one."""
        files, wanted = {}, [{"file_containing_symbol": service}]
        while wanted:
            answer = self.ask(version, **wanted.pop())
            if answer.HasField("error_response"):
                raise LookupError(answer.error_response.error_message)
            for encoded in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(encoded)
                files[file.name] = file
                wanted += [{"file_by_filename": name} for name in file.dependency if name not in files]
        self.pool = descriptor_pool.DescriptorPool()
        added = set()

        def add(name):
            if name not in added:
                added.add(name)
                for dependency in files[name].dependency:
                    add(dependency)
                self.pool.Add(files[name])

        for name in files:
            add(name)
        return self.pool

    def method(self, path: str):
        """(request class, answer class, descriptor) of a method, learnt by reflection."""
        service, method = path.strip("/").split("/")
        try:
            found = self.pool.FindServiceByName(service) if self.pool else None
        except KeyError:
            found = None
        descriptor = (found or self.learn(service).FindServiceByName(service)).methods_by_name[method]
        classes = (message_factory.GetMessageClass(side) for side in (descriptor.input_type, descriptor.output_type))
        return (*classes, descriptor)

    def call(self, path: str, request, metadata=(), timeout: float | None = CALL_S_MAX):
        """A call in JSON values, of any kind; a list goes out as a stream and comes back as one."""
        Request, Answer, descriptor = self.method(path)
        requests = [json_format.ParseDict(r, Request()) for r in (request if isinstance(request, list) else [request])]
        streams = (descriptor.client_streaming, descriptor.server_streaming)
        name = {(False, False): "unary_unary", (True, False): "stream_unary", (False, True): "unary_stream"}
        stub = getattr(self.channel, name.get(streams, "stream_stream"))(
            path, Request.SerializeToString, Answer.FromString
        )
        said = iter(requests) if streams[0] else requests[0]
        answer = stub(said, metadata=self.metadata + list(metadata), timeout=timeout)
        as_json = lambda message: json_format.MessageToDict(message, preserving_proto_field_name=True)
        return [as_json(message) for message in answer] if streams[1] else as_json(answer)


def served(address: str, key: str, path: str, request: bytes = b"", patience_s: float = 10) -> None:
    """Waits until a call is answered, whatever the answer."""
    end = time.monotonic() + patience_s
    while True:
        with Client(address, key) as client:
            try:
                client.raw(path, request, timeout=1)
                return
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                    return
        time.sleep(0.02)
