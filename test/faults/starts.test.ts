import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { isAlive } from '../../src/common/os/proc';
import type { SandboxRecord, WorkspaceInfo } from '../../src/modules/registry/domain/records';
import { evaluate, listed, vmProcesses } from '../support/faults/estate';
import { MortalDaemon } from '../support/faults/mortal-daemon';
import { pythonImage } from '../support/real-host';
import { until } from '../support/until';

describe('a start', () => {
  let daemon: MortalDaemon;
  let bystander: ChildProcess;

  before(async () => {
    await pythonImage();
    daemon = await MortalDaemon.create();
    await daemon.start();
    const body = { tag: 'py', image: 'python', mem_size_mib: 128, boot_wait_secs: 60 };
    await daemon.client.json(201, 'POST', '/v1/snapshots', body);
    bystander = spawn('sleep', ['600'], { stdio: 'ignore' });
  });

  after(async () => {
    const ended = once(bystander, 'exit');
    bystander.kill('SIGKILL');
    await ended;
    await daemon.close();
  });

  const fork = async (tag: string): Promise<SandboxRecord> => {
    const [child] = await daemon.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: tag,
    });
    assert.ok(child);
    return child;
  };

  /** What a loss of power leaves: no process, no run directory, and an image that had not reached the disk. */
  async function losePower(tag: string): Promise<void> {
    await daemon.end('SIGKILL');
    for (const pid of await vmProcesses(daemon.root)) {
      process.kill(pid, 'SIGKILL');
      await until(async () => !(await isAlive(pid)));
    }
    await rm(daemon.path('run'), { recursive: true });
    const dir = daemon.path(`snapshots/${tag}`);
    const base = (await readdir(dir)).find((name) => name.startsWith('memory.base-'));
    assert.ok(base !== undefined, 'it is settled already');
    await rename(`${dir}/${base}`, `${dir}/memory.base-an-earlier-boot`);
    await writeFile(`${dir}/memory.bin`, Buffer.alloc(1 << 20));
  }

  /** Writes other pids into the state file, as the kernel gives them out again. */
  async function reusePids(pids: Readonly<Record<string, number>>): Promise<void> {
    const path = daemon.path('lib/state.json');
    const state = JSON.parse(await readFile(path, 'utf8')) as { sandboxes: Record<string, SandboxRecord> };
    for (const [id, pid] of Object.entries(pids)) {
      const record = state.sandboxes[id];
      assert.ok(record);
      state.sandboxes[id] = { ...record, pid };
    }
    await writeFile(path, JSON.stringify(state));
  }

  it('after a reboot has all snapshots, no sandbox, and workspaces that can be resumed; who has their pids is left alone', async () => {
    const { client } = daemon;
    const [one, other] = [await fork('py'), await fork('py')];
    const made = await client.json<WorkspaceInfo>(201, 'POST', '/v1/workspaces', {
      name: 'dev',
      snapshot_tag: 'py',
    });
    await evaluate(client, made.live_sandbox_id ?? '', 'n = 5');
    await client.json(200, 'POST', '/v1/workspaces/dev/suspend', { diff: true });
    await client.json(200, 'POST', '/v1/workspaces/dev/resume');
    await evaluate(client, one.id, 'n = 7');
    await client.json(201, 'POST', `/v1/sandboxes/${one.id}/branch`, { tag: 'made', mode: 'diff' });
    await losePower('made');
    await reusePids({ [one.id]: bystander.pid ?? 0, [other.id]: process.pid });
    await daemon.start();

    const found = await listed(daemon.client);
    assert.deepEqual(found.sandboxes, []);
    assert.deepEqual(
      found.snapshots.map(({ tag, status }) => `${tag} ${status}`),
      ['made ready', 'py ready', 'ws-dev-state ready'],
    );
    assert.equal(found.workspaces[0]?.status, 'stale');
    assert.ok(await isAlive(bystander.pid ?? 0));
    const child = await fork('made');
    assert.equal(await evaluate(daemon.client, child.id, 'n'), '7');
    const dev = await daemon.client.json<WorkspaceInfo>(200, 'POST', '/v1/workspaces/dev/resume');
    assert.equal(await evaluate(daemon.client, dev.live_sandbox_id ?? '', 'n'), '5');
    await daemon.client.json(204, 'DELETE', '/v1/workspaces/dev');
    await daemon.client.json(204, 'DELETE', `/v1/sandboxes/${child.id}`);
  });

  it('over a VM that has the pid that another had: each is the one that its directory says', async () => {
    const [one, other] = [await fork('py'), await fork('py')];
    await evaluate(daemon.client, other.id, 'n = 3');
    await daemon.end('SIGKILL');
    process.kill(one.pid ?? 0, 'SIGKILL');
    await until(async () => !(await isAlive(one.pid ?? 0)));
    await reusePids({ [one.id]: other.pid ?? 0 });
    await daemon.start();
    const { sandboxes } = await listed(daemon.client);
    assert.deepEqual(
      sandboxes.map(({ id }) => id),
      [other.id],
    );
    assert.equal(await evaluate(daemon.client, other.id, 'n'), '3');
    await daemon.client.json(204, 'DELETE', `/v1/sandboxes/${other.id}`);
    assert.deepEqual(await vmProcesses(daemon.root), []);
  });

  it('with a VM that hangs: the others are served meanwhile, and it is not lost', async () => {
    const [one, other] = [await fork('py'), await fork('py')];
    await evaluate(daemon.client, one.id, 'n = 1');
    await evaluate(daemon.client, other.id, 'n = 2');
    await daemon.end('SIGKILL');
    process.kill(one.pid ?? 0, 'SIGSTOP');
    await daemon.start();
    const { sandboxes } = await listed(daemon.client);
    assert.deepEqual(sandboxes.map(({ id }) => id).sort(), [one.id, other.id].sort());
    assert.equal(await evaluate(daemon.client, other.id, 'n'), '2');
    process.kill(one.pid ?? 0, 'SIGCONT');
    assert.equal(await evaluate(daemon.client, one.id, 'n'), '1');
    for (const { id } of [one, other]) await daemon.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
    assert.deepEqual(await vmProcesses(daemon.root), []);
  });
});
