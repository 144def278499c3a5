import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { HeldLimits } from '../../src/modules/quotas/domain/limits';
import type { EnclosedResult } from '../support/cgroup/enclosed-program';
import { TestHost } from '../support/test-host/test-host';

const REPOSITORY = resolve(__dirname, '..', '..', '..');
const MIB = 1024 * 1024;

/** What the limits of sandboxes do on a kernel with every controller; programs stand in for the VMs. */
describe('limits on a host with all cgroup controllers', () => {
  let host: TestHost;

  const run = async (
    limits: Partial<HeldLimits>,
    seconds: number,
    ...command: string[]
  ): Promise<EnclosedResult> => {
    const job = {
      launcher: '/opt/forkd/forkd-launch',
      limits: { memory_limit_mib: null, ...limits },
      seconds,
      command,
    };
    const { stdout } = await host.run('node /opt/forkd/build/test/support/cgroup/enclosed-program.js "$1"', {
      args: [JSON.stringify(job)],
      timeoutMs: 120_000,
    });
    return JSON.parse(stdout) as EnclosedResult;
  };

  before(async () => {
    host = await TestHost.start();
    await host.copyIn(`${REPOSITORY}/dist/host/forkd-launch`, '/opt/forkd/forkd-launch');
    for (const part of ['src/modules/quotas', 'src/common/errors', 'test/support/cgroup']) {
      await host.copyIn(`${REPOSITORY}/build/${part}`, `/opt/forkd/build/${part}`);
    }
  });

  after(() => host.stop());

  it('end what takes more memory than its limit, which is noticed, and nothing else', async () => {
    const hog = 'const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1));';
    const result = await run({ memory_limit_mib: 128 }, 100, 'node', '-e', hog);
    assert.deepEqual([...result.controllers].sort(), ['cpu', 'io', 'memory', 'pids']);
    assert.ok(result.ended);
    assert.equal(result.oomKills, result.oomKillsNoticed);
    assert.ok(result.oomKills >= 1);
    assert.equal(result.files['memory.max'], String(128 * MIB));
    assert.equal(result.files['memory.high'], String(124 * MIB));
    assert.equal(result.files['memory.oom.group'], '1');
    await host.run('systemctl is-active dbus');
  });

  it('hold a CPU spinner at its share', async () => {
    const result = await run({ cpu_limit: 0.2 }, 6, 'sh', '-c', 'while :; do :; done');
    assert.ok(!result.ended);
    // A fifth of the time, and a period to spare.
    assert.ok(result.cpuUsec < result.seconds * 1e6 * 0.2 + 150_000, JSON.stringify(result));
    assert.ok(result.throttledUsec > 1e6, JSON.stringify(result));
  });

  it('refuse a fork bomb its processes', async () => {
    const bomb = 'for i in $(seq 100); do sleep 30 & done; wait';
    const result = await run({ pids_limit: 16 }, 5, 'bash', '-c', bomb);
    assert.equal(result.files['pids.max'], '16');
    assert.ok(result.pidsRefused > 0, JSON.stringify(result));
  });

  it('hold what is read from the disk at its rate', async () => {
    const rate = 2 * MIB;
    const read = ['dd', 'if=/dev/vda', 'of=/dev/null', 'bs=256k', 'count=1000', 'iflag=direct'];
    const result = await run({ io_limits: { read_bytes_per_sec: rate } }, 5, ...read);
    assert.match(result.files['io.max'] ?? '', /rbps=2097152/);
    assert.ok(result.readBytes > 0 && result.readBytes < rate * (result.seconds + 1), JSON.stringify(result));
  });
});
