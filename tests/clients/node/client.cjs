// A client in Node (grpc-js) that knows nothing beforehand: finds the capabilities by reflection and calls them.
//
// Reads one JSON value from its arguments: the address, keys by caller, names of services,
// requests of the catalog's examples.
// Prints one JSON line a case: { name, error } with an empty error where it holds.
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { createRequire } = require('node:module');
const { once } = require('node:events');

const load = createRequire(path.join(process.argv[2], 'index.cjs'));
const grpc = load('@grpc/grpc-js');
const protobuf = load('protobufjs');
const { GrpcReflection } = load('grpc-js-reflection-client');

const given = JSON.parse(process.argv[3]);
const CALL_MS_MAX = 20_000;

// What grpc-js leaves of google.rpc.Status to its user, by hand.
const rpc = protobuf.parse(`
  syntax = "proto3";
  package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }
  message LocalizedMessage { string locale = 1; string message = 2; }
`).root;

/** Details of a refusal by name. */
function details(error) {
  const [bytes] = error.metadata.get('grpc-status-details-bin');
  if (!bytes) return {};
  const status = rpc.lookupType('google.rpc.Status').decode(bytes);
  const found = {};
  for (const detail of status.details) {
    const name = detail.typeUrl.split('/').at(-1);
    const type = rpc.lookup(name);
    if (type) found[name.split('.').at(-1)] = type.decode(detail.value);
  }
  return found;
}

function metadata(key, more = {}) {
  const made = new grpc.Metadata();
  if (key) made.set('authorization', `Bearer ${given.keys[key]}`);
  for (const [name, value] of Object.entries(more)) made.set(name, value);
  return made;
}

const credentials = grpc.credentials.createInsecure();
const options = { 'grpc.enable_retries': 0 };

const reflection = (version = 'v1') => new GrpcReflection(given.address, credentials, options, version);

/** A client of a service whose contract comes by reflection. */
async function client(service, key = 'shop') {
  const descriptor = await reflection().getDescriptorBySymbol(service, metadata(key));
  const pkg = descriptor.getPackageObject({ longs: String, enums: String, keepCase: true });
  const Service = service.split('.').reduce((at, name) => at[name], pkg);
  return new Service(given.address, credentials, options);
}

/** One answer, for one message or for a list of them as a stream. */
function unary(of, method, request, key = 'shop', more = {}) {
  return new Promise((resolve, reject) => {
    const seen = {};
    const done = (error, answer) => (error ? reject(error) : setImmediate(() => resolve({ answer, ...seen })));
    const rest = [metadata(key, more), { deadline: Date.now() + CALL_MS_MAX }, done];
    const call = Array.isArray(request) ? of[method](...rest) : of[method](request, ...rest);
    call.on('metadata', (headers) => { seen.headers = headers; });
    call.on('status', (status) => { seen.trailers = status.metadata; });
    if (Array.isArray(request)) {
      request.forEach((message) => call.write(message));
      call.end();
    }
  });
}

async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return { code: error.code, ...details(error), pushback: error.metadata.get('grpc-retry-pushback-ms')[0] };
  }
  throw new Error('it was not refused');
}

async function check(promise, code, reason) {
  const found = await refused(promise);
  assert.deepEqual([found.code, found.ErrorInfo?.reason], [code, reason]);
  assert.equal(found.ErrorInfo.domain, 'gateway.oaas');
  assert.ok(found.LocalizedMessage.message);
  return found;
}

const cases = {
  async 'reflection lists what this caller may see'() {
    for (const version of ['v1', 'v1alpha']) {
      const names = await reflection(version).listServices('*', metadata('shop'));
      for (const name of [given.echo, given.clearance, given.rebate, given.production]) {
        assert.ok(names.includes(name), `${name} is not in ${names}`);
      }
      assert.ok(!names.includes(given.breakers), 'an operators\' service is shown');
    }
  },
  async 'clearance time is predicted'() {
    const service = await client(given.clearance);
    const consignment = { destination_country: 'CN', origin_country: 'US' };
    const { answer } = await unary(service, 'PredictClearanceTime', { consignment });
    assert.ok(answer.stages.length > 0 && answer.stages[0].quantiles.length > 0);
  },
  async 'rebates: the catalog\'s own examples, and a request without its fields'() {
    const service = await client(given.rebate);
    for (const [method, request] of given.rebateExamples) await unary(service, method, request);
    const found = await refused(unary(service, 'CalculateRebate', {}));
    assert.deepEqual([found.code, found.ErrorInfo.reason], [grpc.status.INVALID_ARGUMENT, 'FIELD_INVALID']);
  },
  async 'production master data is written and availability read'() {
    const service = await client(given.production);
    await unary(service, 'PutMasterData', given.masterData);
    const { answer } = await unary(service, 'GetAvailability', { plant: given.masterData.plant, item_id: 'wheel-28' });
    assert.equal(answer.on_hand, '4');
  },
  async 'CREDENTIALS_MISSING and CREDENTIALS_INVALID'() {
    const service = await client(given.echo);
    await check(unary(service, 'Say', {}, ''), grpc.status.UNAUTHENTICATED, 'CREDENTIALS_MISSING');
    const wrong = { authorization: 'Bearer oaas_aaaaaaaa_unknown' };
    await check(unary(service, 'Say', {}, '', wrong), grpc.status.UNAUTHENTICATED, 'CREDENTIALS_INVALID');
  },
  async 'METHOD_UNKNOWN'() {
    const stranger = new grpc.Client(given.address, credentials, options);
    const call = new Promise((resolve, reject) => stranger.makeUnaryRequest('/no.Service/Method', (v) => v, (v) => v,
      Buffer.alloc(0), metadata('shop'), (error, answer) => (error ? reject(error) : resolve(answer))));
    await check(call, grpc.status.UNIMPLEMENTED, 'METHOD_UNKNOWN');
  },
  async 'SUBSCRIPTION_REQUIRED, in Chinese'() {
    const call = unary(await client(given.echo), 'Say', {}, 'stranger', { 'accept-language': 'zh-CN' });
    const found = await check(call, grpc.status.PERMISSION_DENIED, 'SUBSCRIPTION_REQUIRED');
    assert.match(found.LocalizedMessage.message, /[\u4e00-\u9fff]/);
  },
  async 'RATE_LIMITED, with the exact wait'() {
    const service = await client(given.echo);
    const calls = [1, 2, 3].map(() => unary(service, 'Say', {}, 'slow').catch((error) => error));
    const error = (await Promise.all(calls)).find((end) => end instanceof Error);
    const { RetryInfo: retry, ErrorInfo: info } = details(error);
    assert.equal(info.reason, 'RATE_LIMITED');
    const ms = Number(retry.retryDelay.seconds) * 1e3 + retry.retryDelay.nanos / 1e6;
    assert.ok(ms > 0 && ms <= 1000, `${ms} ms`);
  },
  async 'REQUEST_TOO_LARGE'() {
    const call = unary(await client(given.echo), 'Say', { payload: Buffer.alloc(2000) });
    await check(call, grpc.status.RESOURCE_EXHAUSTED, 'REQUEST_TOO_LARGE');
  },
  async 'a server stream'() {
    const stream = (await client(given.echo)).Spread({ payload: Buffer.from('again'), count: 300 }, metadata('shop'));
    let count = 0;
    for await (const message of stream) count += message.payload.toString() === 'again';
    assert.equal(count, 300);
  },
  async 'a bidirectional stream, in step'() {
    const stream = (await client(given.echo)).Chat(metadata('shop'));
    for (let turn = 1; turn <= 50; turn++) {
      stream.write({ payload: Buffer.from(`turn ${turn}`), count: turn });
      const [message] = await once(stream, 'data');
      assert.deepEqual([message.payload.toString(), message.count], [`turn ${turn}`, turn]);
    }
    stream.end();
    const [status] = await once(stream, 'status');
    assert.equal(status.code, grpc.status.OK);
  },
  async 'CIRCUIT_OPEN, and the degraded answer'() {
    const service = await client(given.echo);
    for (let turn = 0; turn < 7; turn++) await refused(unary(service, 'Tell', {}, 'shop', { 'x-fault': 'reset' }));
    const found = await check(unary(service, 'Tell', {}), grpc.status.UNAVAILABLE, 'CIRCUIT_OPEN');
    assert.ok(Number(found.pushback) > 0 && found.RetryInfo);
    const { answer, headers, trailers } = await unary(service, 'Say', {});
    assert.equal(answer.payload.toString(), 'degraded');
    const degraded = [...headers.get('oaas-degraded'), ...trailers.get('oaas-degraded')];
    assert.equal(degraded[0], 'static');
  },
};

(async () => {
  for (const [name, run] of Object.entries(cases)) {
    let error = '';
    try {
      await run();
    } catch (failure) {
      error = `${failure.stack}`;
    }
    console.log(JSON.stringify({ name, error }));
  }
  process.exit(0);
})();
