import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { faultyQemu, type QemuFault } from '../support/fake-qemu';
import { RealHost } from '../support/real-host';

describe('a QEMU that goes wrong', () => {
  let tools: string;
  let good: RealHost;

  before(async () => {
    tools = await mkdtemp('/tmp/fkt-');
    good = await RealHost.start();
    await good.snapshot('py');
  });

  after(async () => {
    await good.stop();
    await rm(tools, { recursive: true, force: true });
  });

  /** A daemon over the same snapshots, whose QEMU has a fault. */
  async function withQemu(qemu: string, test: (host: RealHost) => Promise<void>): Promise<void> {
    const host = await RealHost.start({ qemu, snapshotRoot: good.config.snapshotRoot });
    try {
      await test(host);
      assert.deepEqual(await host.traces(), []);
    } finally {
      await host.stop();
    }
  }

  const faulty = (fault: QemuFault): Promise<string> => faultyQemu(tools, fault, fault.kind);
  const spawn = { snapshot_tag: 'py', n: 3 };
  const snapshot = { tag: 'new', image: 'python', mem_size_mib: 256, boot_wait_secs: 1 };

  it('is named with the package that brings it when it is missing', async () => {
    await withQemu(join(tools, 'nowhere'), async (host) => {
      for (const [path, body] of [
        ['/v1/sandboxes', spawn],
        ['/v1/snapshots', snapshot],
      ] as const) {
        assert.match(
          await host.client.error(500, 'POST', path, body),
          /nowhere was not found.*apt-get install qemu-system-x86/,
        );
      }
      assert.equal((await host.client.send('GET', '/v1/snapshots')).status, 200, 'the daemon serves on');
    });
  });

  it('is named with what is needed when it is too old, or no QEMU', async () => {
    const old = await faulty({ kind: 'version', text: 'QEMU emulator version 6.2.0 (Debian 1:6.2)' });
    await withQemu(old, async (host) => {
      assert.match(
        await host.client.error(500, 'POST', '/v1/sandboxes', spawn),
        /QEMU 6\.2\.0 is too old: 7\.0 or newer is needed/,
      );
    });
    const other = await faulty({ kind: 'version', text: 'something else' });
    await withQemu(other, async (host) => {
      assert.match(await host.client.error(500, 'POST', '/v1/sandboxes', spawn), /does not tell its version/);
    });
  });

  it('undoes the whole batch when a child dies during its restore, and passes on its words', async () => {
    const dies = await faulty({ kind: 'dies-on-restore', words: 'load of migration failed' });
    await withQemu(dies, async (host) => {
      const error = await host.client.error(500, 'POST', '/v1/sandboxes', spawn);
      assert.match(error, /^restore_many: .*load of migration failed/);
    });
  });

  it('gives up on a child whose guest never answers', async () => {
    await withQemu(await faulty({ kind: 'frozen-child' }), async (host) => {
      const error = await host.client.error(500, 'POST', '/v1/sandboxes', spawn);
      assert.match(error, /^restore_many: the guest of sb-\S+ did not answer/);
    });
  });

  it('gives up on a parent whose guest never answers, at boot_wait_secs', async () => {
    await withQemu(await faulty({ kind: 'frozen-parent' }), async (host) => {
      const error = await host.client.error(500, 'POST', '/v1/snapshots', snapshot);
      assert.match(error, /^snapshot: the guest was not ready within 1 s.*boot_wait_secs/);
    });
  });
});
