import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cgroupSettings, CONTROLLERS } from '../../../src/modules/quotas/domain/cgroup-settings';
import {
  holdLimits,
  type LimitContext,
  type LimitWish,
  NO_LIMITS,
} from '../../../src/modules/quotas/domain/limits';

const MIB = 1024 * 1024;
const ALL = new Set(CONTROLLERS);
const able: LimitContext = {
  mode: 'auto',
  obstacles: { bandwidth: 'nobody shapes traffic' },
  vmmMemoryMib: 112,
  guestMemoryMib: 256,
};
const unable: LimitContext = {
  ...able,
  obstacles: {
    memory_limit_mib: 'no memory controller',
    cpu_limit: 'no cpu controller',
    pids_limit: 'no pids controller',
    io_limits: 'no io controller',
    bandwidth: 'nobody shapes traffic',
  },
};
const wish = (limits: Partial<LimitWish>): LimitWish => ({ ...NO_LIMITS, ...limits });
const refused = (limits: Partial<LimitWish>, context: LimitContext, message: RegExp): void => {
  assert.throws(() => holdLimits(wish(limits), context), { name: 'DomainError', code: 'invalid', message });
};

describe('limits', () => {
  it('hold as they were asked for where the host can enforce them', () => {
    const limits = {
      memory_limit_mib: 512,
      cpu_limit: 0.5,
      pids_limit: 64,
      io_limits: { read_bytes_per_sec: 1_000_000 },
      disk_limit_mib: 256,
    };
    assert.deepEqual(holdLimits(wish(limits), able), limits);
    assert.deepEqual(holdLimits(NO_LIMITS, able), { memory_limit_mib: null });
  });

  it('that cannot be enforced are refused with the reason', () => {
    refused({ cpu_limit: 1 }, unable, /cpu_limit cannot be enforced on this host: no cpu controller/);
    refused({ pids_limit: 64 }, unable, /no pids controller/);
    refused({ io_limits: { read_ops_per_sec: 5 } }, unable, /no io controller/);
    refused({ bandwidth: { egress_bytes_per_sec: 5 } }, able, /nobody shapes traffic/);
  });

  it('leave clients alone that always send a memory limit: it is told as null, and the sandbox is marked', () => {
    const expected = { memory_limit_mib: null, limits_not_enforced: ['memory_limit_mib'] };
    assert.deepEqual(holdLimits(wish({ memory_limit_mib: 256 }), unable), expected);
    assert.deepEqual(holdLimits(wish({ memory_limit_mib: 1 }), { ...unable, mode: 'off' }), expected);
  });

  it('that are required are refused, the memory limit as well', () => {
    refused({ memory_limit_mib: 256 }, { ...unable, mode: 'required' }, /no memory controller.*best-effort/);
  });

  it('are relaxed by best-effort, which marks the sandbox', () => {
    const limits = wish({ memory_limit_mib: 256, cpu_limit: 1, bandwidth: { egress_bytes_per_sec: 1 } });
    assert.deepEqual(holdLimits(limits, { ...unable, mode: 'best-effort' }), {
      memory_limit_mib: null,
      limits_not_enforced: ['memory_limit_mib', 'cpu_limit', 'bandwidth'],
    });
  });

  it('of memory below what the VM needs are refused with the figure', () => {
    refused({ memory_limit_mib: 111 }, able, /memory_limit_mib is 111, but .* at least 112 MiB/);
    assert.equal(holdLimits(wish({ memory_limit_mib: 112 }), able).memory_limit_mib, 112);
  });

  it('of the disk hold by themselves from the size of the guest on, and are refused below', () => {
    refused({ disk_limit_mib: 255 }, able, /its own memory of 256 MiB/);
    assert.equal(holdLimits(wish({ disk_limit_mib: 256 }), unable).disk_limit_mib, 256);
  });

  it('out of their range are refused on every host', () => {
    for (const context of [able, { ...unable, mode: 'best-effort' as const }]) {
      refused({ memory_limit_mib: 0 }, context, /memory_limit_mib must be ≥ 1/);
      refused({ memory_limit_mib: 2 ** 60 }, context, /memory_limit_mib must be ≤/);
      refused({ cpu_limit: 0 }, context, /cpu_limit is 0, but must be from 0.01/);
      refused({ cpu_limit: -1 }, context, /cpu_limit is -1/);
      refused({ cpu_limit: 5000 }, context, /to 1024 CPUs/);
      refused({ pids_limit: 2 }, context, /pids_limit is 2, but must be from 16/);
      refused({ io_limits: { write_ops_per_sec: 0 } }, context, /io_limits.write_ops_per_sec must be ≥ 1/);
      refused({ disk_limit_mib: 0 }, context, /disk_limit_mib must be from 1/);
    }
  });
});

describe('cgroup settings', () => {
  it('hold the memory at its limit, slow the VM down a little before, and let it use no swap', () => {
    const settings = cgroupSettings({ memory_limit_mib: 256 }, ALL, []);
    const value = (file: string): string | undefined => settings.find((each) => each.file === file)?.value;
    assert.equal(value('memory.max'), String(256 * MIB));
    assert.equal(value('memory.high'), String(248 * MIB));
    assert.equal(value('memory.swap.max'), '0');
    assert.equal(value('memory.oom.group'), '1');
  });

  it('write CPUs as time per period and rates per disk', () => {
    const limits = {
      memory_limit_mib: null,
      cpu_limit: 1.5,
      pids_limit: 99,
      io_limits: { read_bytes_per_sec: 5, write_ops_per_sec: 7 },
    };
    const settings = cgroupSettings(limits, ALL, ['8:0']).map(({ file, value }) => `${file}=${value}`);
    assert.ok(settings.includes('cpu.max=150000 100000'));
    assert.ok(settings.includes('pids.max=99'));
    assert.ok(settings.includes('io.max=8:0 rbps=5 wiops=7'));
  });

  it('without limits only guard the host against a VMM gone wrong', () => {
    const files = cgroupSettings({ memory_limit_mib: null }, ALL, []).map(({ file }) => file);
    assert.deepEqual(files, ['memory.oom.group', 'pids.max']);
    assert.deepEqual(cgroupSettings({ memory_limit_mib: null }, new Set(), []), []);
  });
});
