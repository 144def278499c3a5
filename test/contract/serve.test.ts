import assert from 'node:assert/strict';
import { once } from 'node:events';
import { access, readFile, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { DaemonProcesses } from '../support/daemon-process';

let daemons: DaemonProcesses;
let directory: string;
beforeEach(async () => {
  daemons = await DaemonProcesses.create();
  ({ directory } = daemons);
});
afterEach(async () => {
  await daemons.close();
});

function statusOf(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).once('error', reject);
  });
}

async function nothingCreated(): Promise<void> {
  for (const name of ['lib', 'log', 'run']) await assert.rejects(access(join(directory, name)), name);
}

describe('the command line', () => {
  it('tells version and help', async () => {
    assert.deepEqual(await daemons.run(['--version']), {
      code: 0,
      stdout: 'forkd-controller 0.5.3\n',
      stderr: '',
    });
    const help = await daemons.run(['serve', '--help']);
    assert.equal(help.code, 0);
    for (const text of ['--branch-concurrency', 'FORKD_TLS_KEY', '127.0.0.1:8889'])
      assert.ok(help.stdout.includes(text), text);
  });

  it('refuses unknown flags, surplus arguments and wrong values with status 2, creating nothing', async () => {
    const cases = [
      ['serve', '--nope'],
      ['serve', 'surplus'],
      ['serve', '--bind', 'localhost'],
      ['serve', '--branch-concurrency', '0'],
      ['serve', '--bind', '0.0.0.0:0'],
      ['serve', '--tls-cert', '/cert.pem'],
      ['nonsense'],
      [],
    ];
    for (const args of cases) {
      const { code, stderr } = await daemons.run(args);
      assert.equal(code, 2, args.join(' '));
      assert.notEqual(stderr, '');
    }
    await nothingCreated();
  });
});

describe('a start that fails', () => {
  const failed = async (args: string[], text: RegExp): Promise<void> => {
    const { code, stderr, stdout } = await daemons.run(['serve', ...args]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^forkd-controller: [^\n]+\n$/);
    assert.match(stderr, text);
  };

  for (const [what, text] of Object.entries({
    truncated: '{"snapshots":',
    empty: '',
    'that is another file': '{"name":"something else"}',
    'of a newer version': '{"version":2,"snapshots":{}}',
  })) {
    it(`leaves a state file as it is: one ${what}`, async () => {
      const path = join(directory, 'broken.json');
      await writeFile(path, text);
      await failed(['--state', path], /broken\.json cannot be understood and was left as it is/);
      assert.equal(await readFile(path, 'utf8'), text);
    });
  }

  it('says why the token is no good', async () => {
    const path = join(directory, 'token');
    await writeFile(path, 'REPLACE_ME_PLEASE_REPLACE_ME');
    await failed(['--token-file', path], /placeholder/);
  });

  it('says that the port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    assert.ok(typeof address === 'object' && address !== null);
    try {
      await failed(
        ['--bind', `127.0.0.1:${address.port}`],
        /cannot listen on 127\.0\.0\.1:\d+: another process/,
      );
    } finally {
      other.close();
    }
  });

  it('says which file of TLS or audit is the problem', async () => {
    await failed(
      ['--tls-cert', '/absent/c.pem', '--tls-key', '/absent/k.pem'],
      /--tls-cert \/absent\/c\.pem cannot be read/,
    );
    await failed(['--audit-log', directory], /audit log .* cannot be opened/);
  });
});

describe('a running daemon', () => {
  it('answers, and ends with status 0 at SIGTERM and SIGINT', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const { child, url } = await daemons.serve();
      assert.equal(await statusOf(`${url}/healthz`), 200);
      child.kill(signal);
      assert.deepEqual(await once(child, 'exit'), [0, null]);
      await assert.rejects(statusOf(`${url}/healthz`));
    }
    const audit = await readFile(join(directory, 'log/audit.log'), 'utf8');
    assert.equal(audit.match(/"path":"\/healthz"/g)?.length, 2);
  });

  it('survives SIGHUP and opens its audit log anew', async () => {
    const daemon = await daemons.serve();
    const { child, url } = daemon;
    await rm(join(directory, 'log'), { recursive: true });
    child.kill('SIGHUP');
    await daemon.said(/SIGHUP received/);
    assert.equal(await statusOf(`${url}/healthz`), 200);
    child.kill('SIGTERM');
    await once(child, 'exit');
    assert.match(await readFile(join(directory, 'log/audit.log'), 'utf8'), /healthz/);
  });

  it('logs each request with its id at debug level, and never the token', async () => {
    const token = join(directory, 'token');
    await writeFile(token, 'correct-horse-battery-staple');
    const daemon = await daemons.serve(['--token-file', token], { FORKD_LOG: 'debug' });
    const { url } = daemon;
    const id = await new Promise<unknown>((resolve, reject) => {
      const headers = { authorization: 'Bearer correct-horse-battery-staple' };
      get(`${url}/version`, { agent: false, headers }, (response) => {
        response.resume();
        resolve(response.headers['x-request-id']);
      }).once('error', reject);
    });
    const line = await daemon.said(/^.*"path":"\/version".*$/m);
    const entry = JSON.parse(line) as Record<string, unknown>;
    assert.deepEqual([entry.level, entry.status, entry.request_id], ['debug', 200, id]);
    assert.doesNotMatch(daemon.text, /correct-horse/);
  });
});
