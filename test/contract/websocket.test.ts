import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { type ClientOptions, WebSocket } from 'ws';
import { type AuditEntry, TEST_TOKEN, TestApp } from '../support/app';
import { SimulatedHost } from '../support/simulated-host';
import { PROTOCOL, StreamClient } from '../support/stream-client';
import { until } from '../support/until';

const authorization = `Bearer ${TEST_TOKEN}`;
const PATH = '/v1/sandboxes/sb-0-none/exec/stream';

/** The headers of an honest offer. */
const OFFER = {
  authorization,
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-protocol': PROTOCOL,
};

/** What the server answers to an upgrade that it does not accept. */
function refusal(port: number, path: string, options: ClientOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, PROTOCOL, options);
    socket.once('unexpected-response', (_request, response) => {
      resolve(response.statusCode ?? 0);
      socket.terminate();
    });
    socket.once('open', () => {
      reject(new Error('it was accepted'));
    });
    socket.once('error', () => undefined);
  });
}

/** Sends bytes as they are and gives all that comes back until the server closes. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    socket.once('error', reject);
    socket.once('close', () => {
      resolve(seen);
    });
  });
}

describe('an offer of a WebSocket', () => {
  let app: TestApp;
  before(async () => {
    app = await TestApp.start({ token: TEST_TOKEN });
  });
  after(async () => {
    await app.close();
  });

  it('needs the token before anything else', async () => {
    assert.equal(await refusal(app.port, PATH, {}), 401);
    assert.equal(await refusal(app.port, '/nowhere', {}), 401);
    assert.equal(await refusal(app.port, PATH, { headers: { authorization: 'Bearer wrong' } }), 401);
  });

  it('of a web page is refused', async () => {
    const headers = { authorization, origin: 'http://127.0.0.1:8889' };
    assert.equal(await refusal(app.port, PATH, { headers }), 403);
  });

  it('is answered like any request where there is no such sandbox, route or method', async () => {
    assert.equal(await refusal(app.port, PATH, { headers: { authorization } }), 404);
    assert.equal(await refusal(app.port, '/nowhere', { headers: { authorization } }), 404);
    assert.equal(await refusal(app.port, '/v1/sandboxes/x/exec', { headers: { authorization } }), 405);
    assert.equal(await refusal(app.port, '/version', { headers: { authorization } }), 200);
  });

  it('must be well-formed and name the subprotocol', async () => {
    const ordinary = await app.send('GET', PATH, { headers: { authorization } });
    assert.deepEqual([ordinary.status, ordinary.headers.upgrade], [426, 'websocket']);
    assert.match((ordinary.json() as { error: string }).error, /forkd\.exec\.v1/);
    for (const [changed, status] of [
      [{ 'sec-websocket-version': '8' }, 426],
      [{ 'sec-websocket-key': 'short' }, 400],
      [{ 'sec-websocket-protocol': 'chat, forkd.exec.v0' }, 400],
    ] as const) {
      const answer = await app.send('GET', PATH, { headers: { ...OFFER, ...changed } });
      assert.equal(answer.status, status, answer.text);
    }
  });

  it('has one audit line when it is refused', async () => {
    const before = (await app.auditEntries(0)).length;
    await refusal(app.port, PATH, { headers: { authorization } });
    await until(async () => (await app.auditEntries(0)).length > before);
    const lines = (await app.auditEntries(0)).slice(before);
    assert.deepEqual(
      lines.map(({ path, status, action }) => [path, status, action]),
      [[PATH, 404, 'sandbox.exec.stream']],
    );
  });

  it('of another protocol is ignored, as HTTP allows, and the request answered', async () => {
    const h2c = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'];
    const head = (first: string, ...more: string[]): string =>
      [first, 'Host: x', `Authorization: ${authorization}`, ...more, '', ''].join('\r\n');
    const got = await raw(
      app.port,
      head('GET /version HTTP/1.1', ...h2c) + head('GET /version HTTP/1.1', 'Connection: close'),
    );
    assert.equal(got.match(/HTTP\/1\.1 200 OK/g)?.length, 2, got);
    const body = '{"snapshot_tag":"none"}';
    const posted = await raw(
      app.port,
      head(
        'POST /v1/sandboxes HTTP/1.1',
        'Connection: Upgrade, close',
        'Upgrade: websocket',
        'Content-Type: application/json',
        `Content-Length: ${body.length}`,
      ) + body,
    );
    assert.match(posted, /^HTTP\/1\.1 404 .*snapshot none/s);
  });
});

describe('a WebSocket', () => {
  let host: SimulatedHost;
  let id = '';
  before(async () => {
    host = await SimulatedHost.start();
    await host.snapshot('py');
    const made = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'py',
    });
    id = made[0]?.id ?? '';
  });
  after(async () => {
    await host.stop();
  });

  const lines = async (): Promise<AuditEntry[]> =>
    (await readFile(host.config.auditLogPath, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as AuditEntry)
      .filter(({ path }) => path.endsWith('/exec/stream'));

  it('has its audit line before it opens, and one only', async () => {
    const client = await StreamClient.open(host.client.port, id);
    assert.deepEqual(
      (await lines()).map(({ status, action, targets }) => [status, action, targets]),
      [[101, 'sandbox.exec.stream', [id]]],
    );
    client.say({ type: 'start', args: ['true'] });
    await client.last('exit');
    await host.restart();
    assert.equal((await lines()).length, 1);
  });

  it('runs programs on an older agent, and says what that does not know', async () => {
    const plain = await StreamClient.run(host.client.port, id, ['echo', 'hi']);
    await plain.last('exit');
    assert.equal(plain.out, 'hi\n');
    const terminal = await StreamClient.run(host.client.port, id, ['sh'], { tty: { rows: 1, cols: 1 } });
    const refused = await terminal.last('error');
    assert.equal(refused['code'], 'conflict');
    assert.match(String(refused['error']), /terminals.*make the snapshot anew/);
    const signalled = await StreamClient.run(host.client.port, id, ['sleep']);
    signalled.say({ type: 'signal', signal: 'SIGINT' });
    assert.match(String((await signalled.last('error'))['error']), /signals.*make the snapshot anew/);
  });

  it('ends with its sandbox', async () => {
    const client = await StreamClient.run(host.client.port, id, ['sleep']);
    client.say({ type: 'resize', rows: 1, cols: 1 });
    await host.client.send('POST', `/v1/sandboxes/${id}/ping`);
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
    assert.equal((await client.last('error'))['code'], 'internal');
    assert.equal((await client.closed).code, 1011);
  });
});
