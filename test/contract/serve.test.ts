import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';

const MAIN = join(__dirname, '../../src/main.js');

let directory: string;
const running = new Set<ChildProcess>();
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'forkd-serve-'));
});
afterEach(async () => {
  for (const child of running) {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
  await rm(directory, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const environment = (): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  NODE_PATH: process.env.NODE_PATH,
  HOME: directory,
  FORKD_STATE: join(directory, 'lib/state.json'),
  FORKD_AUDIT_LOG: join(directory, 'log/audit.log'),
  FORKD_RUN_DIR: join(directory, 'run'),
  FORKD_BIND: '127.0.0.1:0',
  FORKD_ENGINE: 'qemu',
});

/** Runs to the end. */
function run(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [MAIN, ...args],
      { env: { ...environment(), ...env } },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      },
    );
  });
}

/** A daemon that has said where it listens. */
class Daemon {
  text = '';
  private wake: () => void = () => undefined;

  private constructor(readonly child: ChildProcess) {
    child.stdout?.on('data', (chunk: Buffer) => {
      this.text += chunk.toString();
      this.wake();
    });
    child.once('close', () => {
      running.delete(child);
      this.wake();
    });
    running.add(child);
  }

  static async start(
    args: string[] = [],
    env: NodeJS.ProcessEnv = {},
  ): Promise<{ daemon: Daemon; child: ChildProcess; url: string }> {
    const stdio: ['ignore', 'pipe', 'inherit'] = ['ignore', 'pipe', 'inherit'];
    const child = spawn(process.execPath, [MAIN, 'serve', ...args], {
      env: { ...environment(), ...env },
      stdio,
    });
    const daemon = new Daemon(child);
    return { daemon, child, url: await daemon.said(/listening on (https?:[^"\s]+)/) };
  }

  /** Waits until the log has the text and gives the first group. */
  async said(text: RegExp): Promise<string> {
    for (;;) {
      const match = text.exec(this.text);
      if (match !== null) return match[1] ?? match[0];
      assert.equal(this.child.exitCode, null, `the daemon ended: ${this.text}`);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

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
    assert.deepEqual(await run(['--version']), { code: 0, stdout: 'forkd-controller 0.5.3\n', stderr: '' });
    const help = await run(['serve', '--help']);
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
      const { code, stderr } = await run(args);
      assert.equal(code, 2, args.join(' '));
      assert.notEqual(stderr, '');
    }
    await nothingCreated();
  });
});

describe('a start that fails', () => {
  const failed = async (args: string[], text: RegExp): Promise<void> => {
    const { code, stderr, stdout } = await run(['serve', ...args]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^forkd-controller: [^\n]+\n$/);
    assert.match(stderr, text);
  };

  it('leaves an unreadable state file as it is', async () => {
    const path = join(directory, 'broken.json');
    await writeFile(path, '{"snapshots":');
    await failed(['--state', path], /broken\.json cannot be understood/);
    assert.equal(await readFile(path, 'utf8'), '{"snapshots":');
  });

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
      const { child, url } = await Daemon.start();
      assert.equal(await statusOf(`${url}/healthz`), 200);
      child.kill(signal);
      assert.deepEqual(await once(child, 'exit'), [0, null]);
      await assert.rejects(statusOf(`${url}/healthz`));
    }
    const audit = await readFile(join(directory, 'log/audit.log'), 'utf8');
    assert.equal(audit.match(/"path":"\/healthz"/g)?.length, 2);
  });

  it('survives SIGHUP and opens its audit log anew', async () => {
    const { daemon, child, url } = await Daemon.start();
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
    const { daemon, url } = await Daemon.start(['--token-file', token], { FORKD_LOG: 'debug' });
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

  it('speaks TLS from 1.2 on with a certificate', async () => {
    const [cert, key] = [join(directory, 'c.pem'), join(directory, 'k.pem')];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const files = ['-keyout', key, '-out', cert];
    await promisify(execFile)('openssl', [
      'req',
      '-x509',
      ...curve,
      ...files,
      '-days',
      '1',
      '-subj',
      '/CN=localhost',
    ]);
    const { url } = await Daemon.start(['--tls-cert', cert, '--tls-key', key]);
    assert.match(url, /^https:/);
    const call = (options: object): Promise<number> =>
      new Promise((resolve, reject) => {
        httpsRequest(
          `${url}/healthz`,
          { rejectUnauthorized: false, agent: false, ...options },
          (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          },
        )
          .once('error', reject)
          .end();
      });
    assert.equal(await call({ maxVersion: 'TLSv1.2' }), 200);
    assert.equal(await call({ minVersion: 'TLSv1.3' }), 200);
    await assert.rejects(call({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
  });
});
