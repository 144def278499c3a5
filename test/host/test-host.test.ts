import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestHost } from '../support/test-host/test-host';

describe('the disposable test host', () => {
  let host: TestHost;
  let directory: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'forkd-'));
    host = await TestHost.start();
  });

  after(async () => {
    await host.stop();
    await rm(directory, { recursive: true });
  });

  it('is a host under systemd whose cgroups have every controller', async () => {
    const { stdout } = await host.run('cat /proc/1/comm /sys/fs/cgroup/cgroup.controllers');
    const [init, controllers = ''] = stdout.split('\n');
    assert.equal(init, 'systemd');
    for (const name of ['cpu', 'io', 'memory', 'pids'])
      assert.ok(controllers.split(' ').includes(name), name);
  });

  it('tells how a command ended, with both outputs apart', async () => {
    const result = await host.attempt('cat; echo "$1" >&2; exit 3', { input: 'käse', args: ["it's"] });
    assert.deepEqual([result.code, result.stdout, result.stderr], [3, 'käse', "it's\n"]);
    await assert.rejects(host.run('echo out; exit 3'), /ended with 3\nout/);
    const late = await host.attempt('sleep 1000', { timeoutMs: 100 });
    assert.equal(late.timedOut, true);
  });

  it('takes files and gives them back', async () => {
    await writeFile(join(directory, 'there'), 'and back');
    await host.copyIn(join(directory, 'there'), '/var/tmp/new directory/file');
    await host.copyOut('/var/tmp/new directory/file', join(directory, 'back'));
    assert.equal(await readFile(join(directory, 'back'), 'utf8'), 'and back');
  });
});
