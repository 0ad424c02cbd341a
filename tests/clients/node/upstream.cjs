// The echo service in Node, on raw HTTP/2: all four kinds of call, and the faults that no gRPC library makes.
//
// Frames go back as they came. A caller asks for a fault in its metadata:
// `x-fault: error | no-status | http-503 | reset | stall`.
'use strict';

const http2 = require('node:http2');

const GRPC = { ':status': 200, 'content-type': 'application/grpc' };

/** Whole gRPC frames of a stream of chunks, each with its five bytes of head. */
function framer(onFrame) {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1);
      onFrame(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  };
}

/** `count`, field 2, of an encoded Echo with short fields only. */
function count(frame) {
  let at = 5;
  const varint = () => {
    let value = 0, shift = 0, byte;
    do {
      byte = frame[at++];
      value += (byte & 0x7f) * 2 ** shift;
      shift += 7;
    } while (byte & 0x80);
    return value;
  };
  while (at < frame.length) {
    const tag = varint();
    if (tag === 0x10) return varint();
    if ((tag & 7) === 2) { const length = varint(); at += length; } else varint();
  }
  return 0;
}

const KINDS = {
  Say: { onEnd: (stream, frames) => stream.write(frames[0]) },
  Tell: { onEnd: (stream, frames) => stream.write(frames[0]) },
  Gather: { onEnd: (stream, frames) => stream.write(frames.at(-1)) },
  Spread: { onEnd: (stream, frames) => { for (let n = count(frames[0]); n > 0; n--) stream.write(frames[0]); } },
  Chat: { onFrame: (stream, frame) => stream.write(frame) },
};

function serve(stream, kind) {
  const frames = [];
  stream.respond(GRPC, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.on('data', framer((frame) => (kind.onFrame ? kind.onFrame(stream, frame) : frames.push(frame))));
  stream.on('end', () => {
    if (stream.aborted) return;
    if (kind.onEnd && frames.length > 0) kind.onEnd(stream, frames);
    stream.end();
  });
}

function suffer(stream, fault) {
  stream.resume();
  if (fault.startsWith('http-')) {
    stream.respond({ ':status': Number(fault.slice(5)), 'content-type': 'text/html' });
    stream.end('<h1>not gRPC</h1>');
  } else if (fault === 'no-status') {
    stream.respond(GRPC);
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
  } else if (fault === 'stall') {
    // No answer, whatever deadline it was given.
  } else if (fault === 'reset') {
    stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  } else {
    stream.respond({ ...GRPC, 'grpc-status': '13', 'grpc-message': 'broken on demand' }, { endStream: true });
  }
}

const server = http2.createServer();
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  const kind = KINDS[headers[':path'].split('/').at(-1)];
  if (headers['x-fault']) suffer(stream, headers['x-fault']);
  else if (kind) serve(stream, kind);
  else stream.respond({ ...GRPC, 'grpc-status': '12' }, { endStream: true });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
