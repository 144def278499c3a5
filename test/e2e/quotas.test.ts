import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { cgroupMount } from '../../src/modules/quotas/domain/mountinfo';
import type { SandboxUsage } from '../../src/modules/quotas/domain/usage';
import type { SandboxRecord } from '../../src/modules/registry/domain/records';
import { RealHost, REPOSITORY } from '../support/real-host';

/** Real VMs in groups of the real cgroup v2, whatever controllers this host has there. */
describe('sandboxes in cgroups', () => {
  let host: RealHost;
  let root: string;
  let scratch: string;
  /** While this file exists, QEMU ends at once instead of restoring a VM. */
  let flag: string;

  const group = async (pid: number | null): Promise<string> =>
    (await readFile(`/proc/${String(pid)}/cgroup`, 'utf8')).match(/^0::(.*)$/m)?.[1] ?? '';
  const groups = async (): Promise<string[]> => {
    const [realm] = (await readdir(root, { withFileTypes: true })).filter((each) => each.isDirectory());
    if (!realm) return [];
    const found = await readdir(join(root, realm.name), { withFileTypes: true });
    return found.filter((each) => each.isDirectory()).map(({ name }) => name);
  };
  const spawn = (body: object = {}): Promise<SandboxRecord[]> =>
    host.client.json(201, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', ...body });

  before(async () => {
    const mount = cgroupMount(await readFile('/proc/self/mountinfo', 'utf8'));
    assert.ok(mount !== undefined, 'this host has no cgroup v2');
    root = join(mount, `forkd-test-${process.pid}`);
    await mkdir(root);
    scratch = await mkdtemp(join(tmpdir(), 'quotas-'));
    flag = join(scratch, 'fail');
    const qemu = join(scratch, 'qemu');
    const fail = `[ -e ${flag} ] && case "$*" in *-incoming*) echo no luck today >&2; exit 1;; esac`;
    await writeFile(qemu, `#!/bin/sh\n${fail}\nexec qemu-system-x86_64 "$@"\n`, { mode: 0o755 });
    host = await RealHost.start({
      qemu,
      cgroupRoot: root,
      launcher: join(REPOSITORY, 'dist/host/forkd-launch'),
    });
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
    await rmdir(root);
    await rm(scratch, { recursive: true });
  });

  it('start in a group of their own, and leave none', async () => {
    const children = await spawn({ n: 3 });
    for (const { id, pid } of children) {
      assert.ok((await group(pid)).endsWith(`/${id}`));
      const answer = await host.client.json(200, 'POST', `/v1/sandboxes/${id}/exec`, {
        args: ['echo', 'here'],
      });
      assert.deepEqual(answer, { stdout: 'here\n', stderr: '', exit_code: 0 });
    }
    const usage = await host.client.json<SandboxUsage>(
      200,
      'GET',
      `/v1/sandboxes/${children[0]?.id ?? ''}/usage`,
    );
    assert.ok(usage.cpu_usec > 0 && usage.threads > 1 && usage.io.read_ops >= 0);
    assert.ok(usage.memory_private_bytes > 2 ** 20 && usage.memory_shared_bytes > 2 ** 20);
    assert.equal(usage.oom_kills, 0);
    assert.deepEqual((await groups()).sort(), children.map(({ id }) => id).sort());
    for (const { id } of children) await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
    assert.deepEqual(await groups(), []);
    assert.deepEqual(await host.traces(), []);
  });

  it('are taken over with their group, and what belongs to nobody is reclaimed', async () => {
    const [kept, lost, ended] = await spawn({ n: 3 });
    assert.ok(kept && lost && ended);
    await host.forget(lost.id);
    await host.restart(() => {
      process.kill(ended.pid ?? 0, 'SIGKILL');
    });
    assert.deepEqual(await groups(), [kept.id]);
    assert.ok((await group(kept.pid)).endsWith(`/${kept.id}`));
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${kept.id}`);
    assert.deepEqual(await groups(), []);
  });

  it('that end by themselves are noticed, and their group goes', async () => {
    const [child] = await spawn();
    assert.ok(child);
    const cut = host.client.error(500, 'POST', `/v1/sandboxes/${child.id}/exec`, { args: ['sleep', '60'] });
    process.kill(child.pid ?? 0, 'SIGKILL');
    assert.match(await cut, /exec: the VM of .* has ended/);
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${child.id}`);
    assert.deepEqual(await groups(), []);
  });

  it('whose QEMU does not start tell why, and leave no group', async () => {
    await writeFile(flag, '');
    const error = await host.client.error(500, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', n: 2 });
    await rm(flag);
    assert.match(error, /restore_many: QEMU did not start: no luck today/);
    assert.deepEqual(await groups(), []);
    assert.deepEqual(await host.traces(), []);
  });
});
