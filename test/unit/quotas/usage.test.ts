import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { readUsage } from '../../../src/modules/quotas/usage';

const ofProcess = (file: string): Promise<string> => readFile(`/proc/self/${file}`, 'utf8');

describe('usage', () => {
  it('comes from /proc for a VM without a cgroup', async () => {
    const usage = await readUsage({ ofProcess, ofGroup: undefined });
    assert.ok(usage.memory_private_bytes > 2 ** 20 && usage.cpu_usec > 0 && usage.threads > 1);
    assert.equal(usage.memory_charged_bytes, null);
    assert.equal(usage.memory_limit_bytes, null);
  });

  it('comes from the cgroup where there is one', async () => {
    const files: Readonly<Record<string, string>> = {
      'cpu.stat': 'usage_usec 7\nuser_usec 5\nthrottled_usec 3\n',
      'io.stat': '8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0\n8:16 rbytes=10 wbytes=20 rios=30 wios=40\n',
      'pids.current': '5\n',
      'memory.current': '4096\n',
      'memory.max': '8192\n',
      'memory.events': 'low 0\nhigh 6\nmax 7\noom 1\noom_kill 1\noom_group_kill 1\n',
    };
    const usage = await readUsage({ ofProcess, ofGroup: (file) => Promise.resolve(files[file] ?? '') });
    assert.deepEqual(
      { ...usage, memory_private_bytes: 0, memory_shared_bytes: 0 },
      {
        memory_private_bytes: 0,
        memory_shared_bytes: 0,
        memory_charged_bytes: 4096,
        memory_limit_bytes: 8192,
        memory_high_events: 6,
        oom_kills: 1,
        cpu_usec: 7,
        cpu_throttled_usec: 3,
        io: { read_bytes: 11, write_bytes: 22, read_ops: 33, write_ops: 44 },
        threads: 5,
      },
    );
  });

  it('without limits has none', async () => {
    const usage = await readUsage({
      ofProcess,
      ofGroup: (file) => Promise.resolve(file === 'memory.max' ? 'max\n' : ''),
    });
    assert.equal(usage.memory_limit_bytes, null);
  });
});
