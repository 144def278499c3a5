import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ContractServer } from './contract-server';
import { runCli, type CliRun } from './run-cli';

describe('forkd failures', () => {
  let server: ContractServer;
  let directory: string;
  const forkd = (...args: string[]): Promise<CliRun> => runCli(args, { env: { FORKD_URL: server.url } });

  beforeEach(async () => {
    server = await ContractServer.start();
    directory = await mkdtemp(join(tmpdir(), 'forkd-cli-'));
  });
  afterEach(async () => {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const usage: [name: string, args: string[], says: RegExp][] = [
    ['an unknown command', ['snapshto', 'ls'], /Did you mean snapshot\?/],
    ['an unknown command of a group', ['snapshot', 'lss'], /Did you mean ls\?/],
    ['an unknown flag', ['ls', '--tagg', 'x'], /Did you mean --tag\?/],
    ['an argument too many', ['ls', 'x'], /too many arguments/],
    ['a missing argument', ['info'], /missing required argument/],
    ['a group alone', ['image'], /Usage: forkd image/],
    ['no command', [], /Usage: forkd/],
    ['a count out of bounds', ['fork', '--tag', 'py', '-n', '1001'], /whole number from 1 to 1000/],
    ['a count that is no number', ['fork', '--tag', 'py', '-n', '1e3'], /whole number/],
    ['no tag', ['fork'], /no snapshot was named/],
    ['two tags', ['fork', 'a', '--tag', 'b'], /two tags/],
    ['a tag with a slash', ['snapshot', 'rm', '../x'], /is not a tag/],
    ['an id with a slash', ['info', '../x'], /is not a sandbox id/],
    ['--all with ids', ['rm', '--all', 'sb-1'], /not several of them/],
    ['neither image nor kernel', ['snapshot', 'create', 'py'], /--kernel and --rootfs/],
    ['a kernel without a root disk', ['snapshot', 'create', 'py', '--kernel', '/k'], /--kernel and --rootfs/],
    ['an address that is none', ['--url', 'localhost:8889', 'ls'], /is not an http/],
    ['an address with a password', ['--url', 'http://a:b@localhost', 'ls'], /must not carry/],
    ['a token file that is not there', ['--token-file', '/nonexistent', 'ls'], /--token-file: ENOENT/],
    ['--purge alone', ['quickstart', '--purge'], /goes with --down/],
  ];
  for (const [name, args, says] of usage) {
    it(`${name} is wrong usage: exit code 2, nothing on stdout, nothing sent`, async () => {
      const run = await forkd(...args);
      assert.equal(run.code, 2, run.stderr);
      assert.equal(run.stdout, '');
      assert.match(run.stderr, says);
      assert.deepEqual(server.seen, []);
    });
  }

  it('exits 3 when nothing listens, and says how to start the daemon', async () => {
    const { url } = server;
    await server.stop();
    const run = await runCli(['ls'], { env: { FORKD_URL: url } });
    assert.equal(run.code, 3);
    assert.match(run.stderr, /nothing listens there\nStart it with `forkd-controller serve`/);
  });

  it('exits 3 when the connection is closed without an answer', async () => {
    const rude = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => rude.listen(0, '127.0.0.1', resolve));
    const { port } = rude.address() as AddressInfo;
    try {
      const run = await runCli(['ls', '--url', `http://127.0.0.1:${port}`]);
      assert.equal(run.code, 3);
      assert.match(run.stderr, /https:\/\//);
    } finally {
      rude.close();
    }
  });

  const refusals: [status: number, error: string, code: number, hint: RegExp][] = [
    [400, 'n must be ≥ 1', 1, /n must be/],
    [404, 'sandbox sb-1 not found', 4, /forkd ls/],
    [409, 'snapshot `x` is not bootable: status=failed', 5, /not bootable/],
    [500, 'restore_many: no', 1, /log has the details/],
    [503, 'at its cap', 1, /try again/],
  ];
  for (const [status, error, code, hint] of refusals) {
    it(`a refusal with ${status} exits ${code}, and the daemon's words are shown`, async () => {
      server.override = () => ({ status, body: { error } });
      const run = await forkd('info', 'sb-1');
      assert.deepEqual([run.code, run.stdout], [code, '']);
      assert.ok(run.stderr.includes(error), run.stderr);
      assert.match(run.stderr, hint);
    });
  }

  it('a tag that is taken is a conflict', async () => {
    server.addSnapshot('py');
    const run = await forkd('snapshot', 'create', 'py', '--image', 'python');
    assert.equal(run.code, 5);
    assert.match(run.stderr, /already exists/);
  });

  it('an unknown tag names the one that may have been meant', async () => {
    server.addSnapshot('python');
    const run = await forkd('fork', '--tag', 'pyhton');
    assert.equal(run.code, 4);
    assert.match(run.stderr, /snapshot pyhton not found\nDid you mean python\?/);
  });

  it("an answer that is not the daemon's is said to be so", async () => {
    server.override = () => ({ status: 200, body: '<html>' });
    const html = await forkd('ls');
    assert.deepEqual([html.code, html.stdout], [1, '']);
    assert.match(html.stderr, /no forkd daemon/);
    server.override = () => ({ status: 200, body: [{ id: 7 }] });
    assert.match((await forkd('ls')).stderr, /not that of a forkd daemon: "id" is not a string/);
  });

  it('control characters from outside do not reach the terminal through a table', async () => {
    server.snapshots.set('x', { ...server.addSnapshot('x'), warning: 'a\u001b[2Jb' });
    const run = await forkd('snapshot', 'ls');
    assert.equal(run.stdout.includes('\u001b'), false);
    assert.match(run.stdout, /a \[2Jb/);
  });

  it('quickstart --down has nothing to stop where nothing was started', async () => {
    const run = await runCli(['quickstart', '--down'], { env: { XDG_DATA_HOME: directory } });
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stdout, /Nothing was running/);
  });

  it('a missing or wrong token is explained and never shown', async () => {
    server.token = 'correct-horse-battery';
    const missing = await forkd('ls');
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /missing bearer token\n.*FORKD_TOKEN/);
    const wrong = await runCli(['ls'], { env: { FORKD_URL: server.url, FORKD_TOKEN: 'wrong-secret-token' } });
    assert.match(wrong.stderr, /invalid bearer token/);
    assert.equal(wrong.stderr.includes('wrong-secret-token'), false);
  });

  it('the token comes from --token-file before FORKD_TOKEN before FORKD_TOKEN_FILE', async () => {
    const [flag, variable] = [join(directory, 'flag'), join(directory, 'variable')];
    await writeFile(flag, ' from-flag-0123456\n');
    await writeFile(variable, 'from-file-0123456\n');
    const env = { FORKD_URL: server.url, FORKD_TOKEN: 'from-env-0123456', FORKD_TOKEN_FILE: variable };
    const sent = async (args: string[], variables: Record<string, string>): Promise<string | undefined> => {
      await runCli(args, { env: variables });
      return server.seen.at(-1)?.authorization;
    };
    assert.equal(await sent(['ls', '--token-file', flag], env), 'Bearer from-flag-0123456');
    assert.equal(await sent(['ls'], env), 'Bearer from-env-0123456');
    assert.equal(await sent(['ls'], { ...env, FORKD_TOKEN: '' }), 'Bearer from-file-0123456');
  });
});
