import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { GuestHost } from '../../support/guest-host';
import { until } from '../../support/until';
import { ContractServer } from './contract-server';
import { type CliRun, ENTRY, runCli } from './run-cli';

let guest: GuestHost;
let env: Record<string, string>;
before(async () => {
  guest = await GuestHost.start();
  env = { FORKD_URL: `http://127.0.0.1:${guest.port}` };
});
after(async () => {
  await guest.stop();
});

const forkd = (...args: string[]): Promise<CliRun> => runCli(args, { env });

/** A run of the command line that goes on. */
class Running {
  out = '';
  err = '';
  readonly ended: Promise<readonly [code: number | null, signal: NodeJS.Signals | null]>;

  constructor(readonly child: ChildProcessWithoutNullStreams) {
    child.stdout.on('data', (chunk: Buffer) => (this.out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (this.err += chunk.toString()));
    this.ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  }

  async shows(text: string): Promise<void> {
    await until(() => Promise.resolve(this.out.includes(text)));
  }
}

const start = (...args: string[]): Running =>
  new Running(spawn(process.execPath, [ENTRY, ...args], { env: { PATH: process.env['PATH'], ...env } }));

describe('forkd exec', () => {
  it('passes the arguments as they are, keeps the streams apart, and returns the exit code', async () => {
    const script = 'printf "<%s>" "$@"; echo err >&2; exit 7';
    const run = await forkd('exec', guest.id, '--', 'sh', '-c', script, 'sh', '-l', '--json', '', 'a b');
    assert.deepEqual(run, { code: 7, stdout: '<-l><--json><><a b>', stderr: 'err\n' });
  });

  it('streams: output is there while the program runs, and -i hands standard input on', async () => {
    const run = start('exec', '-i', guest.id, '--', 'sh', '-c', 'echo ready; read a; echo "got $a"; cat');
    await run.shows('ready\n');
    run.child.stdin.write('one\n');
    await run.shows('got one\n');
    run.child.stdin.end('two\n');
    assert.deepEqual(await run.ended, [0, null]);
    assert.equal(run.out, 'ready\ngot one\ntwo\n');
  });

  it('leaves standard input alone without -i', async () => {
    const run = start('exec', guest.id, '--', 'cat');
    assert.deepEqual(await run.ended, [0, null]);
  });

  it('carries megabytes through', async () => {
    const run = start('exec', '-i', guest.id, '--', 'sha256sum');
    const data = Buffer.alloc(3_000_000, 'forkd');
    run.child.stdin.end(data);
    assert.deepEqual(await run.ended, [0, null]);
    const { createHash } = await import('node:crypto');
    assert.equal(run.out, `${createHash('sha256').update(data).digest('hex')}  -\n`);
    const much = await forkd('exec', guest.id, '--', 'head', '-c', '20000000', '/dev/zero');
    assert.deepEqual([much.code, much.stdout.length, much.stderr], [0, 20_000_000, '']);
  });

  it('sets environment, directory and user', async () => {
    const args = ['exec', '-e', 'A=b=c', '--env', 'HOME', '-w', '/tmp', '-u', '1234', guest.id, '--'];
    const run = await runCli([...args, 'sh', '-c', 'echo $A $HOME; pwd; id -u'], {
      env: { ...env, HOME: '/h' },
    });
    assert.deepEqual([run.code, run.stdout], [0, 'b=c /h\n/tmp\n1234\n']);
  });

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`hands ${signal} on, and returns what comes of it`, async () => {
      const dies = start('exec', guest.id, '--', 'sh', '-c', 'echo ready; exec sleep 60');
      await dies.shows('ready');
      dies.child.kill(signal);
      assert.deepEqual(await dies.ended, [code, null]);
      const script = `trap 'echo caught; exit 5' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`;
      const catches = start('exec', guest.id, '--', 'sh', '-c', script);
      await catches.shows('ready');
      catches.child.kill(signal);
      assert.deepEqual(await catches.ended, [5, null]);
      assert.equal(catches.out, 'ready\ncaught\n');
    });
  }

  it('gets a signal through although the program reads none of its input', async () => {
    const run = start('exec', '-i', guest.id, '--', 'sh', '-c', 'echo ready; exec sleep 60');
    run.child.stdin.on('error', () => undefined);
    run.child.stdin.write(Buffer.alloc(4_000_000));
    await run.shows('ready');
    run.child.kill('SIGINT');
    assert.deepEqual(await run.ended, [130, null]);
  });

  it('leaves a program that ignores signals, which dies with it', async () => {
    const script = "trap '' INT; echo pid $$; while :; do sleep 0.05; done";
    const run = start('exec', guest.id, '--', 'sh', '-c', script);
    await run.shows('\n');
    const pid = /pid (\d+)/.exec(run.out)?.[1] ?? '';
    for (let sent = 0; sent < 3; sent += 1) {
      run.child.kill('SIGINT');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.deepEqual(await run.ended, [130, null]);
    await until(async () =>
      (await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z ')).includes(') Z '),
    );
  });

  it('kills the program when it is killed itself', async () => {
    const run = start('exec', guest.id, '--', 'sh', '-c', 'echo pid $$; exec sleep 60');
    await run.shows('\n');
    const pid = /pid (\d+)/.exec(run.out)?.[1] ?? '';
    run.child.kill('SIGKILL');
    await until(async () =>
      (await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z ')).includes(') Z '),
    );
  });

  it('ends when its reader has enough', async () => {
    const command = `"${process.execPath}" "${ENTRY}" exec ${guest.id} -- yes | head -n 1; echo \${PIPESTATUS[0]}`;
    const shell = new Running(
      spawn('bash', ['--norc', '-c', command], { env: { PATH: process.env['PATH'], ...env } }),
    );
    await shell.ended;
    assert.deepEqual([shell.out, shell.err], ['y\n141\n', '']);
  });

  it('says when the time limit ended it, and exits 1', async () => {
    const run = await forkd('exec', '--timeout', '1', guest.id, '--', 'sleep', '60');
    assert.equal(run.code, 1);
    assert.match(run.stderr, /did not end within 1 s/);
  });

  it('tells what the guest cannot run, and exits 1', async () => {
    const run = await forkd('exec', guest.id, '--', 'no-such-program');
    assert.deepEqual([run.code, run.stdout], [1, '']);
    assert.match(run.stderr, /^error: .*no-such-program/);
  });

  it('has the exit codes of every command: 2 usage, 3 no daemon, 4 no sandbox', async () => {
    assert.equal((await forkd('exec', guest.id)).code, 2);
    assert.equal((await forkd('exec', guest.id, '--env', '=x', '--', 'true')).code, 2);
    assert.equal((await forkd('exec', '-it', guest.id, '--', 'sh')).code, 2);
    assert.equal((await forkd('exec', 'sb-0-none', '--', 'true')).code, 4);
    const nobody = await runCli(['exec', guest.id, '--', 'true'], {
      env: { FORKD_URL: 'http://127.0.0.1:1' },
    });
    assert.equal(nobody.code, 3);
    assert.match(nobody.stderr, /nothing listens there/);
  });

  it('--json collects the output in one object', async () => {
    const run = await forkd('--json', 'exec', guest.id, '--', 'sh', '-c', 'echo out; exit 3');
    assert.equal(run.code, 3);
    assert.deepEqual(JSON.parse(run.stdout), { stdout: 'out\n', stderr: '', exit_code: 3 });
    assert.equal((await forkd('--json', 'exec', '-i', guest.id, '--', 'true')).code, 2);
  });

  it('says that the daemon is shutting down, and exits 3', async () => {
    const run = start('exec', guest.id, '--', 'sh', '-c', 'echo ready; exec sleep 5');
    await run.shows('ready');
    await guest.host.restart();
    env = { FORKD_URL: `http://127.0.0.1:${guest.port}` };
    assert.deepEqual(await run.ended, [3, null]);
    assert.match(run.err, /shutting down/);
  });

  it('works with a daemon that has no streams, but for what only they can do', async () => {
    const server = await ContractServer.start();
    try {
      const { id } = server.addSandbox('py');
      const old = { env: { FORKD_URL: server.url } };
      assert.equal((await runCli(['exec', id, '--', 'x'], old)).stdout, 'out\n');
      const run = await runCli(['exec', '-i', id, '--', 'x'], old);
      assert.equal(run.code, 1);
      assert.match(run.stderr, /too old for --interactive/);
    } finally {
      await server.stop();
    }
  });
});
