import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { RealHost, tool } from '../support/real-host';
import { until } from '../support/until';

describe('a client that goes away', () => {
  let host: RealHost;

  before(async () => {
    host = await RealHost.start();
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
  });

  it('in the middle of a spawn leaves no sandbox', async () => {
    const leave = new AbortController();
    const asked = host.client.send('POST', '/v1/sandboxes', {
      json: { snapshot_tag: 'py', n: 20 },
      signal: leave.signal,
    });
    await until(async () => (await host.vmProcesses()).length > 0);
    leave.abort();
    await assert.rejects(asked);
    await until(async () => (await host.traces()).length === 0);
    assert.deepEqual(await host.client.json(200, 'GET', '/v1/sandboxes'), []);
  });

  it('in the middle of a snapshot leaves no snapshot', async () => {
    const leave = new AbortController();
    const body = { tag: 'gone', image: 'python', mem_size_mib: 256, boot_wait_secs: 60 };
    const asked = host.client.send('POST', '/v1/snapshots', { json: body, signal: leave.signal });
    await until(async () => (await host.vmProcesses()).length > 0);
    leave.abort();
    await assert.rejects(asked);
    await until(async () => (await host.traces()).length === 0);
    await until(async () => (await host.client.json<unknown[]>(200, 'GET', '/v1/snapshots')).length === 1);
    assert.deepEqual(await readdir(host.config.snapshotRoot), ['py']);
  });

  it('in the middle of an exec ends the program', async () => {
    const [child] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'py',
    });
    const path = `/v1/sandboxes/${child?.id ?? ''}`;
    const sleepers = async (): Promise<string> => {
      const args = ['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" "\\n" | grep -c "^4711$" || true'];
      return (
        await host.client.json<{ stdout: string }>(200, 'POST', `${path}/exec`, { args })
      ).stdout.trim();
    };
    const none = await sleepers();
    const leave = new AbortController();
    const asked = host.client.send('POST', `${path}/exec`, {
      json: { args: ['sleep', '4711'], timeout_secs: 600 },
      signal: leave.signal,
    });
    await until(async () => (await sleepers()) !== none);
    leave.abort();
    await assert.rejects(asked);
    await until(async () => (await sleepers()) === none);
    await host.client.json(204, 'DELETE', path);
  });
});

describe('a disk that is full', () => {
  // Too small for the root file system; too small for the memory after it.
  for (const size of ['48m', '100m']) {
    it(
      `undoes a snapshot at ${size} and says so`,
      { skip: process.getuid?.() === 0 ? false : 'mounting needs root' },
      async () => {
        const host = await RealHost.start();
        const mount = host.config.snapshotRoot;
        await mkdir(mount, { recursive: true });
        await tool('mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', mount);
        try {
          const body = { tag: 'full', image: 'python', mem_size_mib: 256, boot_wait_secs: 60 };
          const error = await host.client.error(500, 'POST', '/v1/snapshots', body);
          assert.match(error, /^snapshot: .*no space left/i);
          assert.deepEqual(await host.traces(), []);
          assert.deepEqual(await readdir(mount), []);
          assert.deepEqual(await host.client.json(200, 'GET', '/v1/snapshots'), []);
        } finally {
          await tool('umount', mount);
          await host.stop();
        }
      },
    );
  }
});

describe('run directories of nobody', () => {
  it('are reclaimed at the next start, with their VMs', async () => {
    const host = await RealHost.start();
    try {
      await host.snapshot('py');
      const [child] = await host.client.json<{ id: string; pid: number }[]>(201, 'POST', '/v1/sandboxes', {
        snapshot_tag: 'py',
      });
      assert.ok(child);
      await host.forget(child.id);
      await mkdir(join(host.config.runDir, 'sb-0-0000'));
      await mkdir(join(host.config.snapshotRoot, '.new-half-0000'));
      await host.restart();
      assert.deepEqual(await host.traces(), []);
    } finally {
      await host.stop();
    }
  });
});
