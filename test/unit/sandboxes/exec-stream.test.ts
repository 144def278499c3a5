import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { GuestHost } from '../../support/guest-host';
import { StreamClient } from '../../support/stream-client';
import { until } from '../../support/until';

const WINDOW = 262_144;

let guest: GuestHost;
before(async () => {
  guest = await GuestHost.start();
});
after(async () => {
  await guest.stop();
});

const run = (args: readonly string[], more: object = {}): Promise<StreamClient> =>
  StreamClient.run(guest.port, guest.id, args, more);
const sh = (script: string, more: object = {}): Promise<StreamClient> => run(['sh', '-c', script], more);

/** Whether a process runs; one that nobody has reaped has ended. */
async function runs(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return status !== '' && !/\) Z /.test(status);
}

describe('streamed exec', () => {
  it('sends output as it comes, the pipes apart, then the exit code', async () => {
    const client = await sh('echo out; echo err >&2; read line; echo "got $line"; exit 7', { stdin: true });
    await client.until(({ out, err }) => out === 'out\n' && err === 'err\n');
    client.write('words\n');
    assert.deepEqual(await client.last('exit'), {
      type: 'exit',
      exit_code: 7,
      timed_out: false,
      truncated: false,
    });
    assert.equal(client.out, 'out\ngot words\n');
    assert.deepEqual(await client.closed, { code: 1000, reason: '' });
  });

  it('takes what env, cwd, user and timeout_secs say', async () => {
    const client = await sh('echo $A; pwd; id -u; sleep 60', {
      env: { A: 'b' },
      cwd: '/tmp',
      user: '1234',
      timeout_secs: 1,
    });
    const exit = await client.last('exit');
    assert.equal(client.out, 'b\n/tmp\n1234\n');
    assert.deepEqual([exit['timed_out'], exit['signal']], [true, 'SIGKILL']);
  });

  it('without stdin gives the program an empty one', async () => {
    const client = await run(['cat']);
    assert.equal((await client.last('exit'))['exit_code'], 0);
  });

  it('gives a terminal, with size, resize and what a terminal does', async () => {
    const client = await sh('stty size; trap "stty size" WINCH; echo ready; while :; do sleep 0.05; done', {
      stdin: true,
      tty: { rows: 10, cols: 20 },
    });
    await client.until(({ out }) => out.includes('ready\r\n'));
    assert.match(client.out, /^10 20\r\n/);
    client.say({ type: 'resize', rows: 33, cols: 44 });
    await client.until(({ out }) => out.includes('33 44\r\n'));
    client.write('\u0003');
    const exit = await client.last('exit');
    assert.deepEqual([exit['exit_code'], exit['signal']], [-2, 'SIGINT']);
  });

  it('forwards signals', async () => {
    const client = await sh('trap "echo term; exit 3" TERM; echo ready; while :; do sleep 0.05; done');
    await client.until(({ out }) => out === 'ready\n');
    client.say({ type: 'signal', signal: 'SIGTERM' });
    assert.equal((await client.last('exit'))['exit_code'], 3);
    assert.equal(client.out, 'ready\nterm\n');
  });

  it('carries much in both directions, more than any window', async () => {
    const client = await run(['cat'], { stdin: true });
    const total = 5_000_000;
    let sent = 0;
    let credit = WINDOW;
    let seen = 0;
    const given = (): number => client.messages.reduce((sum, { bytes }) => sum + Number(bytes), 0);
    while (sent < total) {
      const size = Math.min(65_536, credit, total - sent);
      if (size === 0) {
        await client.until(() => given() > seen);
        credit += given() - seen;
        seen = given();
        continue;
      }
      client.write(Buffer.alloc(size, sent % 251));
      sent += size;
      credit -= size;
    }
    client.say({ type: 'stdin_end' });
    assert.equal((await client.last('exit'))['exit_code'], 0);
    assert.equal(Buffer.concat(client.stdout).length, total);
  });

  it('holds a program back whose output the client does not take', async () => {
    const client = await sh('echo $$ >&2; yes');
    await client.until(({ err }) => err !== '');
    const pid = Number(client.err);
    client.socket.pause();
    const written = async (): Promise<number> =>
      Number(/wchar: (\d+)/.exec(await readFile(`/proc/${pid}/io`, 'utf8'))?.[1]);
    // What is held on the way: windows, pipes and sockets; then nothing more.
    let before = -1;
    for (let now = await written(); now !== before; now = await written()) {
      before = now;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    assert.ok(before < 20_000_000, `${before} bytes were written for nobody`);
    client.socket.resume();
    await client.until(({ stdout }) => stdout.reduce((sum, each) => sum + each.length, 0) > before);
    client.socket.terminate();
  });

  it('kills the program when the client leaves', async () => {
    const client = await sh('echo $$; sleep 60');
    await client.until(({ out }) => out.endsWith('\n'));
    const pid = Number(client.out);
    assert.ok(await runs(pid));
    client.socket.terminate();
    await until(async () => !(await runs(pid)));
  });

  it('tells what cannot be started, and closes', async () => {
    const missing = await run(['no-such-program']);
    const error = await missing.last('error');
    assert.equal(error['code'], 'refused');
    assert.match(String(error['error']), /no-such-program/);
    assert.equal((await missing.closed).code, 1000);
  });

  for (const [name, message, pattern] of [
    ['no JSON', 'nonsense', /JSON/],
    ['an array', '[]', /object/],
    ['an unknown type', '{"type":"x"}', /type must be/],
    ['no args', '{"type":"start","args":[]}', /args must contain/],
    ['args of numbers', '{"type":"start","args":[1]}', /args must be/],
    ['NUL', '{"type":"start","args":["a\\u0000"]}', /NUL/],
    ['a terminal without size', '{"type":"start","args":["true"],"tty":{}}', /tty.rows/],
    ['a large terminal', '{"type":"start","args":["true"],"tty":{"rows":1,"cols":65536}}', /tty.cols/],
    ['a long time limit', '{"type":"start","args":["true"],"timeout_secs":1e9}', /timeout_secs/],
    ['a fractional time limit', '{"type":"start","args":["true"],"timeout_secs":1.5}', /timeout_secs/],
    ['env of numbers', '{"type":"start","args":["true"],"env":{"A":1}}', /env/],
    ['an unknown signal', '{"type":"signal","signal":"SIGNAL"}', /SIGINT/],
    ['a signal before start', '{"type":"signal","signal":"SIGINT"}', /first message/],
  ] as const) {
    it(`refuses ${name}`, async () => {
      const client = await StreamClient.open(guest.port, guest.id);
      client.socket.send(message);
      const error = await client.last('error');
      assert.equal(error['code'], 'invalid');
      assert.match(String(error['error']), pattern);
      assert.equal((await client.closed).code, 1008);
    });
  }

  it('refuses standard input that nobody asked for, that is on another pipe, or past the window', async () => {
    const closed = await run(['sleep', '60']);
    closed.write('x');
    assert.match(String((await closed.last('error'))['error']), /not open/);
    const wrong = await run(['sleep', '60'], { stdin: true });
    wrong.socket.send(Buffer.from([1, 65]));
    assert.match(String((await wrong.last('error'))['error']), /byte 0/);
    const greedy = await run(['sleep', '60'], { stdin: true });
    for (let sent = 0; sent <= WINDOW; sent += 65_536) greedy.write(Buffer.alloc(65_536));
    assert.match(String((await greedy.last('error'))['error']), /window/);
    assert.equal((await greedy.closed).code, 1008);
  });

  it('refuses messages that are too large or too many', async () => {
    const large = await run(['sleep', '60'], { stdin: true });
    large.socket.send(Buffer.alloc(65_538));
    assert.equal((await large.closed).code, 1009);
    const many = await run(['sleep', '60'], { tty: { rows: 1, cols: 1 } });
    for (let sent = 0; sent < 300; sent += 1) many.say({ type: 'resize', rows: 1, cols: 1 });
    assert.match(String((await many.last('error'))['error']), /in a second/);
  });

  it('says that the daemon is shutting down, and leaves the program alone', async () => {
    const client = await sh('echo $$; sleep 60');
    await client.until(({ out }) => out.endsWith('\n'));
    const pid = Number(client.out);
    await guest.host.restart();
    assert.deepEqual(await client.closed, { code: 1001, reason: 'the daemon is shutting down' });
    assert.ok(await runs(pid));
    process.kill(pid, 'SIGKILL');
    const next = await run(['echo', 'next']);
    await next.last('exit');
    assert.equal(next.out, 'next\n');
  });
});
