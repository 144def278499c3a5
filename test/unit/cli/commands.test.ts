import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ContractServer } from './contract-server';
import { runCli, type CliRun } from './run-cli';

describe('forkd commands', () => {
  let server: ContractServer;
  const forkd = (...args: string[]): Promise<CliRun> => runCli(args, { env: { FORKD_URL: server.url } });

  beforeEach(async () => {
    server = await ContractServer.start();
  });
  afterEach(async () => {
    await server.stop();
  });

  it('version needs no daemon', async () => {
    const run = await runCli(['version'], { env: { FORKD_URL: 'http://127.0.0.1:1' } });
    assert.deepEqual([run.code, run.stderr], [0, '']);
    assert.match(run.stdout, /^forkd \d+\.\d+\.\d+\n$/);
    assert.match((await forkd('--version')).stdout, /^\d+\.\d+\.\d+\n$/);
  });

  it("fork sends the contract's body and prints a table, ids or JSON", async () => {
    server.addSnapshot('py');
    const table = await forkd(
      'fork',
      '--tag',
      'py',
      '-n',
      '2',
      '--memory-limit-mib',
      '256',
      '--per-child-netns',
    );
    assert.equal(table.code, 0);
    assert.deepEqual(server.seen.at(-1)?.body, {
      snapshot_tag: 'py',
      n: 2,
      per_child_netns: true,
      memory_limit_mib: 256,
    });
    assert.match(table.stdout, /^ID +SNAPSHOT +AGE/);
    assert.equal(table.stdout.trimEnd().split('\n').length, 3);
    assert.match(table.stderr, /2 children of py/);

    const quiet = await forkd('fork', 'py', '--quiet');
    assert.deepEqual([quiet.stdout, quiet.stderr], ['sb-6657e0c0-0002\n', '']);

    const json = await forkd('--json', 'fork', '-t', 'py');
    const [child] = JSON.parse(json.stdout) as { id: string }[];
    assert.equal(child?.id, 'sb-6657e0c0-0003');
  });

  it('ls lists and filters; nothing but data is on stdout', async () => {
    const empty = await forkd('ls');
    assert.match(empty.stdout, /^ID[^\n]*\n$/);
    assert.match(empty.stderr, /No sandboxes/);
    server.addSandbox('a');
    const { id } = server.addSandbox('b');
    assert.equal((await forkd('ls', '--quiet', '--tag', 'b')).stdout, `${id}\n`);
    assert.equal((JSON.parse((await forkd('ls', '--json')).stdout) as unknown[]).length, 2);
  });

  it('info shows one sandbox', async () => {
    const { id } = server.addSandbox('py');
    const shown = await forkd('info', id);
    assert.match(shown.stdout, new RegExp(`^id +${id}\n`));
    assert.match(shown.stdout, /\nsnapshot +py\n/);
    assert.equal((JSON.parse((await forkd('info', id, '--json')).stdout) as { id: string }).id, id);
  });

  it("ping prints the agent's answer", async () => {
    const { id } = server.addSandbox('py');
    const run = await forkd('ping', id);
    assert.match(run.stdout, new RegExp(`^${id} answered in [0-9.]+ ms: .*agent_lang=python`));
  });

  it('exec passes the arguments as they are and keeps the streams apart', async () => {
    const { id } = server.addSandbox('py');
    const run = await forkd('exec', id, '--timeout', '7', '--', 'ls', '-l', '--json', '');
    assert.deepEqual(server.seen.at(-1)?.body, { args: ['ls', '-l', '--json', ''], timeout_secs: 7 });
    assert.deepEqual(run, { code: 0, stdout: 'out\n', stderr: 'err\n' });
  });

  for (const [guest, shell] of [
    [3, 3],
    [-9, 137],
    [255, 255],
  ] as const) {
    it(`exec of a program that ended with ${guest} exits with ${shell}`, async () => {
      const { id } = server.addSandbox('py');
      server.override = () => ({ status: 200, body: { stdout: '', stderr: '', exit_code: guest } });
      assert.equal((await forkd('exec', id, '--', 'x')).code, shell);
    });
  }

  it('eval prints the result, and takes code from stdin', async () => {
    const { id } = server.addSandbox('py');
    assert.deepEqual(await forkd('eval', id, 'sum(range(10))'), { code: 0, stdout: '45\n', stderr: '' });
    await runCli(['eval', id, '-'], { env: { FORKD_URL: server.url }, stdin: 'x = 1\nx' });
    assert.deepEqual(server.seen.at(-1)?.body, { code: 'x = 1\nx' });
  });

  it('eval of code that raises says why on stderr and exits 1', async () => {
    const { id } = server.addSandbox('py');
    server.override = () => ({ status: 200, body: { result: null, error: 'NameError: no', exit_code: 1 } });
    assert.deepEqual(await forkd('eval', id, 'no'), { code: 1, stdout: '', stderr: 'NameError: no\n' });
  });

  it('rm deletes what is named, and --all everything', async () => {
    const ids = [1, 2, 3].map(() => server.addSandbox('py').id);
    const some = await forkd('rm', ids[0] ?? '', ids[2] ?? '');
    assert.deepEqual([some.code, some.stdout], [0, `${String(ids[0])}\n${String(ids[2])}\n`]);
    assert.deepEqual([...server.sandboxes.keys()], [ids[1]]);
    assert.equal((await forkd('rm', '--all')).code, 0);
    assert.equal(server.sandboxes.size, 0);
  });

  it('rm deletes the rest when one is unknown, and exits 4', async () => {
    const { id } = server.addSandbox('py');
    const run = await forkd('rm', 'sb-0-none', id);
    assert.deepEqual([run.code, run.stdout], [4, `${id}\n`]);
    assert.match(run.stderr, /sandbox sb-0-none not found/);
  });

  it('snapshot create sends what was given and nothing else', async () => {
    const run = await forkd(
      'snapshot',
      'create',
      'py',
      '--image',
      'python',
      '--boot-wait-secs',
      '5',
      '--vcpus',
      '2',
    );
    assert.equal(run.code, 0);
    assert.deepEqual(server.seen.at(-1)?.body, { tag: 'py', image: 'python', boot_wait_secs: 5, vcpus: 2 });
    assert.match(run.stdout, /py +ready/);
  });

  it('snapshot ls and rm', async () => {
    server.addSnapshot('py');
    server.addSnapshot('old', 'failed');
    assert.equal((await forkd('snapshot', 'ls', '-q')).stdout, 'py\nold\n');
    assert.equal((await forkd('snapshot', 'rm', 'old', '--cascade')).code, 0);
    assert.equal(server.seen.at(-1)?.url, '/v1/snapshots/old?cascade=true');
    assert.deepEqual([...server.snapshots.keys()], ['py']);
  });

  it('each command and alias that the help lists answers to its name', async () => {
    const { stdout } = await forkd('--help');
    const listed = stdout.slice(stdout.indexOf('Commands:'), stdout.indexOf('Environment:'));
    const names = [...listed.matchAll(/^ {2}([a-z|]+)/gm)].flatMap(([, name = '']) => name.split('|'));
    assert.ok(names.length > 15, listed);
    for (const name of names) {
      const help = await forkd(name, '--help');
      assert.equal(help.code, 0, help.stderr);
      assert.match(help.stdout, /^Usage: forkd [a-z]/);
    }
  });

  it('status tells health, versions and counts', async () => {
    server.addSnapshot('py');
    server.addSandbox('py');
    const json = JSON.parse((await forkd('status', '--json')).stdout) as Record<string, unknown>;
    assert.equal(json['healthy'], true);
    assert.deepEqual([json['snapshots_ready'], json['sandboxes'], json['daemon_version']], [1, 1, '0.5.3']);
    assert.match((await forkd('status')).stdout, /healthy/);
  });
});
