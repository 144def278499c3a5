import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request, type IncomingHttpHeaders } from 'node:http';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { DaemonProcesses } from '../support/daemon-process';

const TOKEN = 'correct-horse-battery-staple';

let daemons: DaemonProcesses;
let tokenFile: string;
beforeEach(async () => {
  daemons = await DaemonProcesses.create();
  tokenFile = daemons.path('token');
  await writeFile(tokenFile, `${TOKEN}\n`, { mode: 0o600 });
});
afterEach(async () => {
  await daemons.close();
});

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

function ask(
  url: string,
  { method = 'GET', headers = {}, body = '' }: Asked = {},
): Promise<IncomingHttpHeaders> {
  return new Promise((resolve, reject) => {
    const call = request(url, { method, headers, agent: false }, (response) => {
      response.resume();
      response.once('end', () => {
        resolve(response.headers);
      });
    });
    call.once('error', reject);
    call.end(body);
  });
}

interface Line {
  readonly level: string;
  readonly time: string;
  readonly msg: string;
  readonly request_id?: string;
}

const linesOf = (text: string): Line[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);

describe('the log', () => {
  it('is JSON lines with level, time and text', async () => {
    const daemon = await daemons.serve();
    await daemon.end('SIGTERM');
    const lines = linesOf(daemon.text);
    assert.ok(lines.length >= 3);
    for (const { level, time, msg } of lines) {
      // What a host does not enforce is the one thing that may be worth a warning.
      assert.equal(level, msg.includes('not enforced') ? 'warn' : 'info', msg);
      assert.equal(new Date(time).toISOString(), time);
      assert.notEqual(msg, '');
    }
  });

  for (const level of ['trace', 'info']) {
    it(`never has the token, at level ${level}: not from a header, a query, a body or an error`, async () => {
      const daemon = await daemons.serve(['--token-file', tokenFile], { FORKD_LOG: level });
      const { url } = daemon;
      const authorization = `Bearer ${TOKEN}`;
      const json = { authorization, 'content-type': 'application/json' };
      const given: [string, Asked][] = [
        ['/version', { headers: { authorization } }],
        [`/version?token=${TOKEN}&access_token=${TOKEN}`, { headers: { authorization } }],
        [`/nope?token=${TOKEN}`, {}],
        [`/%?token=${TOKEN}`, {}],
        [
          '/version',
          { headers: { authorization: `Basic ${TOKEN}`, 'x-api-key': TOKEN, cookie: `t=${TOKEN}` } },
        ],
        ['/version', { headers: { authorization: `Bearer ${TOKEN}x`, 'proxy-authorization': TOKEN } }],
        [`/v1/sandboxes?x=${TOKEN}`, { method: 'POST', headers: json, body: `{"snapshot_tag":"${TOKEN}"` }],
        ['/v1/sandboxes', { method: 'POST', headers: json, body: `{"snapshot_tag":1,"x":"${TOKEN}"}` }],
        ['/v1/snapshots', { method: 'POST', headers: json, body: '{"tag":"t","image":"none"}' }],
        ['/metrics', { headers: { authorization } }],
      ];
      for (const [path, asked] of given) await ask(`${url}${path}`, asked);
      daemon.child.kill('SIGHUP');
      await daemon.said(/SIGHUP received/);
      assert.deepEqual(await daemon.end('SIGTERM'), [0, null]);
      assert.doesNotMatch(daemon.text, /correct-horse/);
      assert.doesNotMatch(await readFile(daemons.path('log/audit.log'), 'utf8'), /correct-horse/);
      const requests = linesOf(daemon.text).filter(({ msg }) => msg === 'request');
      assert.equal(requests.length, level === 'trace' ? given.length : 0);
    });
  }

  it('has the id of the request in each line that comes of it, which the answer has as x-request-id', async () => {
    const daemon = await daemons.serve([], { FORKD_LOG: 'debug' });
    const ids = new Set<string>();
    for (const path of ['/version', '/nope', '/%', '/v1/sandboxes/sb-1/ping']) {
      const headers = await ask(`${daemon.url}${path}`, { method: path.endsWith('ping') ? 'POST' : 'GET' });
      ids.add(String(headers['x-request-id']));
    }
    await daemon.end('SIGTERM');
    assert.equal(ids.size, 4);
    const requests = linesOf(daemon.text).filter(({ msg }) => msg === 'request');
    assert.deepEqual(new Set(requests.map(({ request_id: id }) => id)), ids);
    for (const { level } of requests) assert.equal(level, 'debug');
  });

  it('is silent at level off', async () => {
    const failed = await daemons.run(['serve', '--state', daemons.directory], { FORKD_LOG: 'off' });
    assert.deepEqual([failed.code, failed.stdout], [1, '']);
    assert.match(failed.stderr, /^forkd-controller: [^\n]+\n$/);
  });

  it('is for people on a terminal', async () => {
    const main = join(__dirname, '../../src/main.js');
    // A terminal of its own; what ends the daemon is a signal, as a terminal that goes away would only be SIGHUP.
    const terminal = spawn('script', ['-qec', `exec ${process.execPath} ${main} serve`, '/dev/null'], {
      env: daemons.environment({}),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    const ended = once(terminal, 'close');
    await new Promise<void>((resolve, reject) => {
      terminal.once('close', () => {
        reject(new Error(`it ended: ${text}`));
      });
      terminal.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes('listening on')) resolve();
      });
    });
    const holder = /\d+/.exec(await readFile(daemons.path('lib/state.json.lock'), 'utf8'))?.[0];
    process.kill(Number(holder), 'SIGTERM');
    await ended;
    assert.match(text, /INFO/);
    assert.match(text, /stopped/);
    assert.doesNotMatch(text, /"level"/);
  });
});
