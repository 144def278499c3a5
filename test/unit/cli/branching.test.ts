import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ContractServer } from './contract-server';
import { runCli, type CliRun } from './run-cli';

describe('forkd branch, snapshots and lineage', () => {
  let server: ContractServer;
  let id: string;
  const forkd = (...args: string[]): Promise<CliRun> => runCli(args, { env: { FORKD_URL: server.url } });

  beforeEach(async () => {
    server = await ContractServer.start();
    server.addSnapshot('py');
    ({ id } = server.addSandbox('py'));
  });
  afterEach(async () => {
    await server.stop();
  });

  const bodies: [args: string[], body: object][] = [
    [[], {}],
    [['--tag', 'cp'], { tag: 'cp' }],
    [['-t', 'cp', '-m', 'diff', '-p', 'py'], { tag: 'cp', mode: 'diff', parent_tag: 'py' }],
    [['--measure-diff'], { measure_diff: true }],
    [['--mode', 'full', '--measure-diff'], { mode: 'full', measure_diff: true }],
    [['--mode', 'live', '--no-wait'], { mode: 'live', wait: false }],
  ];
  for (const [args, body] of bodies) {
    it(`branch ${args.join(' ')} sends ${JSON.stringify(body)}`, async () => {
      const run = await forkd('branch', id, ...args);
      assert.equal(run.code, 0, run.stderr);
      assert.deepEqual(server.seen.at(-1)?.body, body);
      assert.equal(server.seen.at(-1)?.url, `/v1/sandboxes/${id}/branch`);
    });
  }

  it('branch prints a table and figures, the tag, or JSON with all that was measured', async () => {
    const table = await forkd('branch', id, '--tag', 'a');
    assert.match(table.stdout, /^TAG +STATUS.*\na +ready/);
    assert.match(table.stderr, /paused for 7 ms, 4\.0 KiB differed\nfork it: forkd fork --tag a/);
    assert.deepEqual(await forkd('branch', id, '--tag', 'b', '-q'), { code: 0, stdout: 'b\n', stderr: '' });
    const json = JSON.parse((await forkd('branch', id, '--tag', 'c', '--json')).stdout) as object;
    assert.deepEqual(json, server.snapshots.get('c'));
  });

  it('branch --no-wait says how to learn that it is ready', async () => {
    const run = await forkd('branch', id, '--mode', 'live', '--no-wait', '--tag', 'x');
    assert.match(run.stdout, /x +writing/);
    assert.match(run.stderr, /forkd snapshot ls/);
  });

  it("snapshot --from-sandbox is upstream's way to write branch", async () => {
    const run = await forkd('snapshot', '--from-sandbox', id, '--tag', 'x', '--live', '--no-wait');
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual(server.seen.at(-1)?.body, { tag: 'x', mode: 'live', wait: false });
  });

  it("snapshot --tag --kernel --rootfs is upstream's way to write create", async () => {
    const run = await forkd('snapshot', '--tag', 'x', '--kernel', '/k', '--rootfs', '/r', '--rw');
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual(server.seen.at(-1)?.body, { tag: 'x', kernel: '/k', rootfs: '/r', rw: true });
  });

  it('a relative kernel is one below the current directory', async () => {
    await forkd('snapshot', 'create', 'x', '--kernel', 'k', '--rootfs', './r');
    const { kernel, rootfs } = server.seen.at(-1)?.body as { kernel: string; rootfs: string };
    assert.deepEqual([kernel, rootfs], [`${process.cwd()}/k`, `${process.cwd()}/r`]);
  });

  it('snapshot info and snapshot-info show sizes and the chain', async () => {
    server.addSnapshot('cp');
    server.parents.set('cp', 'py');
    for (const command of [['snapshot', 'info'], ['snapshot-info']]) {
      const run = await forkd(...command, 'cp');
      assert.equal(run.code, 0, run.stderr);
      assert.match(run.stdout, /^tag +cp\n/);
      assert.match(run.stdout, /\nmemory +256\.0 MiB, 1\.0 MiB on disk\n/);
      assert.match(run.stdout, /\nchain +py > cp\n/);
    }
    const json = JSON.parse((await forkd('snapshot', 'info', 'py', '--json')).stdout) as object;
    assert.deepEqual((json as { dependents: string[] }).dependents, ['cp']);
  });

  it('snapshot info of an unknown tag exits 4 and names the one that may have been meant', async () => {
    const run = await forkd('snapshot', 'info', 'pyy');
    assert.equal(run.code, 4);
    assert.match(run.stderr, /snapshot pyy not found\nDid you mean py\?/);
  });

  it('snapshot compact and snapshot-compact', async () => {
    assert.equal((await forkd('snapshot', 'compact', 'py', '--to', 'flat', '-q')).stdout, 'flat\n');
    assert.deepEqual(server.seen.at(-1)?.body, { to: 'flat' });
    const again = await forkd('snapshot-compact', '--from', 'py', '--to', 'flat');
    assert.equal(again.code, 5);
    assert.match(again.stderr, /already exists.*\nTake another tag/);
  });

  it('rmi --cascade and --force; without them dependents are a conflict that says what to do', async () => {
    server.addSnapshot('cp');
    server.parents.set('cp', 'py');
    const refused = await forkd('snapshot', 'rm', 'py');
    assert.equal(refused.code, 5);
    assert.match(refused.stderr, /has dependents: cp.*\n.*--cascade.*--force/);
    assert.equal((await forkd('rmi', 'py', '--force')).code, 0);
    assert.equal(server.seen.at(-1)?.url, '/v1/snapshots/py?force=true');
  });

  it('images lists snapshots with sizes', async () => {
    const run = await forkd('images');
    assert.match(run.stdout, /^TAG .*MEMORY +ON DISK/);
    assert.match(run.stdout, /py +ready +\w+ +256\.0 MiB +1\.0 MiB/);
  });

  it('tree draws what came from what, and gives it as JSON and as names', async () => {
    await forkd('branch', id, '--tag', 'cp');
    server.parents.set('cp', 'py');
    const drawn = await forkd('tree');
    assert.match(
      drawn.stdout,
      new RegExp(`^py  ready, \\w+\n└─ ${id}  sandbox, .*\n   └─ cp  ready, \\w+, stored on py\n$`),
    );
    assert.equal((await forkd('tree', '--quiet')).stdout, `py\n${id}\ncp\n`);
    const [root] = JSON.parse((await forkd('tree', '--json')).stdout) as { kind: string; name: string }[];
    assert.deepEqual([root?.kind, root?.name], ['snapshot', 'py']);
  });

  it('tree shows a snapshot whose chain is broken, with the reason', async () => {
    server.override = ({ url }) =>
      url.endsWith('/py/info') ? { status: 500, body: { error: 'parent base is missing' } } : undefined;
    const run = await forkd('tree');
    assert.equal(run.code, 0);
    assert.match(run.stdout, /^py .*parent base is missing\n/);
  });

  it('tree of nothing is nothing, with a remark', async () => {
    server.snapshots.clear();
    server.sandboxes.clear();
    const run = await forkd('tree');
    assert.deepEqual([run.code, run.stdout], [0, '']);
    assert.match(run.stderr, /No snapshots/);
  });

  it('kill and rm --tag delete the children of one snapshot', async () => {
    server.addSnapshot('b');
    const other = server.addSandbox('b').id;
    assert.equal((await forkd('kill', '--tag', 'py')).stdout, `${id}\n`);
    assert.deepEqual([...server.sandboxes.keys()], [other]);
  });

  it('spawn is fork, and --daemon-url is --url', async () => {
    const run = await runCli(['spawn', '--tag', 'py', '-q', '--daemon-url', server.url]);
    assert.deepEqual([run.code, run.stderr], [0, '']);
  });

  const usage: [name: string, args: string[], says: RegExp][] = [
    ['a mode that is none', ['branch', 'sb-1', '--mode', 'lvie'], /full, diff, live.*\nDid you mean live\?/],
    ['--no-wait without live', ['branch', 'sb-1', '--no-wait'], /--mode live only/],
    ['--measure-diff with diff', ['branch', 'sb-1', '-m', 'diff', '--measure-diff'], /not diff/],
    ['--parent-tag without diff', ['branch', 'sb-1', '--parent-tag', 'py'], /needs --mode diff/],
    ['--diff with --live', ['snapshot', '--from-sandbox', 'sb-1', '--diff', '--live'], /exclude each other/],
    ['compact without a target', ['snapshot', 'compact', 'py'], /'--to <tag>' not specified/],
    ['compact to itself', ['snapshot', 'compact', 'py', '--to', 'py'], /must be another tag/],
    ['--cascade with --force', ['rmi', 'py', '--cascade', '--force'], /exclude each other/],
    ['too little memory', ['snapshot', 'create', 'x', '--image', 'i', '--mem-size-mib', '63'], /64 to 65536/],
    ['too many processors', ['snapshot', 'create', 'x', '--image', 'i', '--vcpus', '33'], /1 to 32/],
    ['--tag with ids', ['rm', 'sb-1', '--tag', 'py'], /not several/],
    ['a workspace without a snapshot', ['workspace', 'create', 'dev'], /no snapshot was named/],
    [
      'a name that could not be suspended',
      ['workspace', 'create', 'x'.repeat(56), '--tag', 'py'],
      /1 to 55 letters/,
    ],
    ['an unknown command of workspace', ['workspace', 'susped', 'x'], /Did you mean suspend\?/],
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
});

describe('forkd workspace', () => {
  let server: ContractServer;
  const forkd = (...args: string[]): Promise<CliRun> => runCli(args, { env: { FORKD_URL: server.url } });

  beforeEach(async () => {
    server = await ContractServer.start();
    server.addSnapshot('py');
  });
  afterEach(async () => {
    await server.stop();
  });

  it('create, info, suspend, resume, rm', async () => {
    const made = await forkd(
      ...['workspace', 'create', 'dev', '--tag', 'py', '--per-child-netns', '--memory-limit-mib', '256'],
    );
    assert.match(made.stdout, /^NAME +STATUS +SANDBOX.*\ndev +running +sb-/);
    assert.deepEqual(server.seen.at(-1)?.body, {
      name: 'dev',
      snapshot_tag: 'py',
      per_child_netns: true,
      memory_limit_mib: 256,
    });
    assert.match((await forkd('workspace', 'info', 'dev')).stdout, /^name +dev\n[^]*status +running\n/);

    const parked = await forkd('workspace', 'suspend', 'dev', '--diff');
    assert.match(parked.stdout, /\ndev +suspended +-/);
    assert.deepEqual(server.seen.at(-1)?.body, { diff: true });
    await forkd('workspace', 'resume', 'dev');
    await forkd('workspace', 'suspend', 'dev');
    assert.deepEqual(server.seen.at(-1)?.body, { diff: false });
    const resumed = JSON.parse((await forkd('ws', 'resume', 'dev', '--json')).stdout) as object;
    assert.deepEqual(resumed, server.workspaces.get('dev'));
    assert.equal(server.seen.at(-1)?.body, undefined);

    assert.equal((await forkd('workspace', 'ls', '-q')).stdout, 'dev\n');
    assert.equal((await forkd('workspace', 'rm', 'dev')).stdout, 'dev\n');
    assert.match((await forkd('workspace', 'list')).stderr, /No workspaces/);
  });

  it("create takes upstream's --snapshot", async () => {
    assert.equal((await forkd('workspace', 'create', 'dev', '--snapshot', 'py', '-q')).stdout, 'dev\n');
  });

  it('a wrong state and a name that is taken are conflicts that say what to do', async () => {
    await forkd('workspace', 'create', 'dev', '--tag', 'py');
    const taken = await forkd('workspace', 'create', 'dev', '--tag', 'py');
    assert.equal(taken.code, 5);
    assert.match(taken.stderr, /already exists.*\n.*forkd workspace rm/);
    assert.equal((await forkd('workspace', 'resume', 'dev')).code, 5);
    await forkd('workspace', 'suspend', 'dev');
    const parked = await forkd('workspace', 'suspend', 'dev');
    assert.equal(parked.code, 5);
    assert.match(parked.stderr, /not Running.*\nStart it with `forkd workspace resume`/);
  });

  it('an unknown name or tag exits 4 and names the one that may have been meant', async () => {
    await forkd('workspace', 'create', 'dev', '--tag', 'py');
    for (const verb of ['info', 'suspend', 'resume', 'rm']) {
      const run = await forkd('workspace', verb, 'dve');
      assert.equal(run.code, 4);
      assert.match(run.stderr, /workspace dve not found\nDid you mean dev\?/);
    }
    const run = await forkd('workspace', 'create', 'new', '--tag', 'pyy');
    assert.equal(run.code, 4);
    assert.match(run.stderr, /Did you mean py\?/);
  });
});
