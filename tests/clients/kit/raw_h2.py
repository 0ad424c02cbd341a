"""One gRPC call over bare HTTP/2, for what a gRPC library would not send: odd deadlines, doubled headers."""

import socket

import h2.config
import h2.connection
import h2.events

# Longest wait for the answer, seconds.
ANSWER_S_MAX = 15


def call(address: str, path: str, headers=(), message: bytes = b"") -> tuple[dict, dict, bytes]:
    """(headers, trailers, body) of the answer; trailers are empty where the head ended it."""
    host, port = address.split(":")
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    head = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", address),
            ("content-type", "application/grpc"), ("te", "trailers"), *headers]
    connection.send_headers(1, head)
    connection.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
    found, trailers, body = {}, {}, b""
    with socket.create_connection((host, int(port)), timeout=ANSWER_S_MAX) as stream:
        stream.sendall(connection.data_to_send())
        while True:
            data = stream.recv(65536)
            if not data:
                raise ConnectionError("the connection was closed before the answer ended")
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    found = dict(event.headers)
                elif isinstance(event, h2.events.TrailersReceived):
                    trailers = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.StreamReset):
                    raise ConnectionError(f"the stream was reset: {event.error_code}")
                elif isinstance(event, h2.events.StreamEnded):
                    return found, trailers, body
            stream.sendall(connection.data_to_send())
