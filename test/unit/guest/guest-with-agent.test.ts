import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { GuestAgent } from '../../../src/modules/guest/guest-agent';
import { ExecRequest, ExecResult } from '../../../src/modules/guest/guest-agent.types';
import { AgentProcess, appeared, VirtualPort } from '../../support/guest/agent-process';
import { until } from '../../support/until';

const LONG_MS = 60_000;
const MIB = 1024 * 1024;
const MAGIC = Buffer.from('f78ba1d59ec3e6fb91ad88b2f59cd7ea', 'hex');
const IDENTITY = { entropy: Buffer.alloc(64, 3), hostname: 'sb-1' };

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Bytes without a pattern a mistake could hide in, and with the magic where frames are cut. */
function stdinOf(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0, value = 1; at < length; at += 1) {
    value = (value * 1_103_515_245 + 12_345) >>> 0;
    bytes[at] = value >>> 16;
  }
  for (const at of [0, 65_530, 262_140, length - 16]) MAGIC.copy(bytes, at);
  return bytes;
}

let guest: AgentProcess;
before(async () => {
  guest = await AgentProcess.start();
});
after(() => guest.stop());

describe('the agent itself', () => {
  let agent: GuestAgent;
  const exec = (args: readonly string[], more: Partial<ExecRequest> = {}): Promise<ExecResult> =>
    agent.exec({ args, timeoutMs: LONG_MS, ...more });
  const sh = (script: string, more: Partial<ExecRequest> = {}): Promise<ExecResult> =>
    exec(['sh', '-c', script], more);

  beforeEach(async () => {
    agent = await GuestAgent.handshake(guest.openChannel, IDENTITY, { deadlineMs: LONG_MS });
  });
  afterEach(async () => {
    agent.close();
    await agent.closed;
  });

  it('says HELLO, takes its identity and answers ping', async () => {
    assert.equal(agent.hello.protocol, 1);
    for (const capability of ['identity', 'ping', 'exec', 'eval']) {
      assert.ok(agent.hello.capabilities.includes(capability));
    }
    assert.deepEqual(agent.hello.runtimes, ['python']);
    await agent.eval('0', { timeoutMs: LONG_MS });
    const pong = await agent.ping(LONG_MS);
    assert.equal(pong['pong'], true);
    assert.equal(pong['agent_lang'], 'python');
    assert.equal(pong['warmup_ready'], true);
  });

  it('runs programs: output apart, exit code, environment, directory', async () => {
    const result = await sh('echo "$A $FROM_IMAGE"; pwd; echo oops >&2; exit 7', {
      env: { A: 'ünï' },
      cwd: '/',
    });
    assert.equal(result.stdout.toString(), 'ünï yes\n/\n');
    assert.equal(result.stderr.toString(), 'oops\n');
    assert.equal(result.exitCode, 7);
    assert.equal(result.signal, undefined);
    const killed = await sh('kill -TERM $$');
    assert.equal(killed.exitCode, -15);
    assert.equal(killed.signal, 'SIGTERM');
  });

  it('refuses what is not there with the code for it', async () => {
    await assert.rejects(exec(['no-such-program']), { name: 'GuestError', code: 'not_found' });
    await assert.rejects(exec(['true'], { user: 'no-such-user' }), { name: 'GuestError', code: 'not_found' });
    await assert.rejects(exec(['true', 'a\0b']), { name: 'GuestError', code: 'invalid' });
    assert.equal((await exec(['true'])).exitCode, 0);
  });

  it('takes large standard input with the magic in it and gives it back unchanged', async () => {
    const stdin = stdinOf(5 * MIB + 17);
    const result = await exec(['cat'], { stdin });
    assert.equal(result.exitCode, 0);
    assert.equal(sha256(result.stdout), sha256(stdin));
    assert.equal((await exec(['cat'], { stdin: Buffer.alloc(0) })).stdout.length, 0);
    assert.equal((await exec(['true'], { stdin })).exitCode, 0);
    assert.equal((await sh('exec <&-; echo closed', { stdin })).stdout.toString(), 'closed\n');
  });

  it('cuts output at the limit and says so', async () => {
    const huge = await sh('head -c 20000000 /dev/zero; echo end >&2');
    assert.equal(huge.stdout.length, 16 * MIB);
    assert.equal(huge.stdoutTruncated, true);
    assert.equal(huge.stderr.toString(), 'end\n');
    assert.equal(huge.stderrTruncated, false);
    const none = await sh('echo out; echo err >&2', { outputLimit: 0 });
    assert.deepEqual([none.stdout.length, none.stdoutTruncated, none.stderrTruncated], [0, true, true]);
    const exact = await sh('printf 12345', { outputLimit: 5 });
    assert.deepEqual([exact.stdout.toString(), exact.stdoutTruncated], ['12345', false]);
  });

  it('kills at the time limit', async () => {
    const result = await sh('echo begun; sleep 1000', { timeoutMs: 300 });
    assert.equal(result.timedOut, true);
    assert.equal(result.exitCode, -9);
    assert.equal(result.stdout.toString(), 'begun\n');
    assert.equal((await exec(['sleep', '1000'], { timeoutMs: 0 })).timedOut, true);
  });

  it('kills what an aborted call started', async () => {
    const file = join(guest.directory, 'pid');
    const controller = new AbortController();
    const call = agent.exec(
      {
        args: ['sh', '-c', `echo $$ >${file}.new; mv ${file}.new ${file}; exec sleep 1000`],
        timeoutMs: LONG_MS,
      },
      { signal: controller.signal },
    );
    await appeared(guest.directory, file);
    const pid = Number(await readFile(file, 'utf8'));
    controller.abort(new Error('enough'));
    await assert.rejects(call, /enough/);
    await until(() => Promise.resolve(!isAlive(pid)));
    assert.equal((await exec(['true'])).exitCode, 0);
  });

  it('serves 200 calls at once', async () => {
    const calls = Array.from({ length: 200 }, async (_, index) => {
      if (index % 4 !== 0) return (await agent.ping(LONG_MS))['pong'] === true;
      const stdin = Buffer.alloc(10_000, `${index} `);
      return (await exec(['cat'], { stdin })).stdout.equals(stdin);
    });
    assert.ok((await Promise.all(calls)).every(Boolean));
  });

  it('carries code and results that do not fit one frame', async () => {
    const options = { timeoutMs: LONG_MS };
    const long = await agent.eval(`s = '${'é'.repeat(300_000)}'; s`, options);
    assert.equal(long.result, `'${'é'.repeat(300_000)}'`);
    assert.equal((await agent.eval('len(s)', options)).result, '300000');
    const [one, other] = await Promise.all([
      agent.eval("'a' * 500_000", options),
      agent.exec({ args: ['echo', 'between'], timeoutMs: LONG_MS }),
    ]);
    assert.equal(one.result?.length, 500_002);
    assert.equal(other.stdout.toString(), 'between\n');
  });

  it('evaluates code in its warm runtime', async () => {
    const options = { timeoutMs: LONG_MS };
    const done = await agent.eval('print("häh"); x = 20\nx + 1', options);
    assert.deepEqual([done.result, done.error, done.stdout, done.exitCode], ['21', null, 'häh\n', 0]);
    assert.equal((await agent.eval('y = x', options)).result, null);
    const failed = await agent.eval('1/0', { ...options, runtime: 'python' });
    assert.equal(failed.error, 'ZeroDivisionError: division by zero');
    assert.match(failed.traceback ?? '', /Traceback/);
    assert.equal(failed.exitCode, 1);
    await assert.rejects(agent.eval('1', { ...options, runtime: 'cobol' }), { name: 'GuestError' });
    const endless = await agent.eval('while True: pass', { timeoutMs: 200 });
    assert.equal(endless.exitCode, 1);
    assert.equal((await agent.eval('x', options)).result, '20');
  });

  it('is met again after the channel broke in the middle of everything', async () => {
    const calls = [
      exec(['cat'], { stdin: stdinOf(3 * MIB) }),
      sh('head -c 9000000 /dev/zero; cat', { stdin: stdinOf(MIB) }),
      agent.eval('1', { timeoutMs: LONG_MS }),
    ];
    const outcomes = Promise.allSettled(calls);
    // A second client takes the agent's only connection over.
    const thief = await GuestAgent.connect(guest.openChannel, { deadlineMs: LONG_MS });
    await outcomes;
    thief.close();
    const stdin = stdinOf(100_000);
    assert.equal(sha256((await exec(['cat'], { stdin })).stdout), sha256(stdin));
  });
});

describe('a port that outlives the daemon', () => {
  it('is resynchronised wherever the last daemon died', async () => {
    const port = new VirtualPort(await guest.openChannel());
    for (const [round, left] of [
      Buffer.alloc(0),
      Buffer.from('0000', 'hex'),
      Buffer.from('0000ffff0400000000010000', 'hex'),
      Buffer.concat([Buffer.from('0000ffff0400000000010000', 'hex'), Buffer.alloc(30_000, 'x')]),
      MAGIC.subarray(0, 9),
      MAGIC,
      Buffer.concat([MAGIC, Buffer.alloc(7, 1)]),
    ].entries()) {
      const agent = await GuestAgent.handshake(port.openChannel, IDENTITY, { deadlineMs: LONG_MS });
      const noise = agent.exec({ args: ['sh', '-c', 'head -c 500000 /dev/zero'], timeoutMs: LONG_MS });
      const outcome = Promise.allSettled([
        noise,
        agent.exec({ args: ['cat'], timeoutMs: LONG_MS, stdin: stdinOf(400_000) }),
      ]);
      await agent.ping(LONG_MS);
      agent.close();
      await outcome;
      port.leave(left);
      const next = await GuestAgent.connect(port.openChannel, { deadlineMs: LONG_MS });
      const echo = await next.exec({ args: ['echo', `round ${round}`], timeoutMs: LONG_MS });
      assert.equal(echo.stdout.toString(), `round ${round}\n`);
      next.close();
    }
    port.close();
  });

  it('leaves programs running that the last daemon started', async () => {
    const port = new VirtualPort(await guest.openChannel());
    const file = join(guest.directory, 'survived');
    const agent = await GuestAgent.connect(port.openChannel, { deadlineMs: LONG_MS });
    const first = join(guest.directory, 'started');
    const lost = agent.exec({
      args: ['sh', '-c', `touch ${first}; head -c 1000000 /dev/zero; cat >/dev/null; touch ${file}`],
      timeoutMs: LONG_MS,
      stdin: Buffer.alloc(MIB),
    });
    const outcome = assert.rejects(lost, /its client was closed/);
    await appeared(guest.directory, first);
    agent.close();
    await outcome;
    const next = await GuestAgent.connect(port.openChannel, { deadlineMs: LONG_MS });
    await appeared(guest.directory, file);
    next.close();
    port.close();
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
