import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_LIMITS } from '../../../src/modules/quotas/domain/limits';
import { SandboxIds } from '../../../src/modules/sandboxes/domain/sandbox-id';
import { requireExecRules, requireSpawnRules } from '../../../src/modules/sandboxes/domain/spawn-rules';

const spawn = {
  snapshotTag: 'py',
  n: 1,
  perChildNetns: false,
  limits: NO_LIMITS,
  prewarm: false,
  hugepages: false,
};

describe('spawn rules', () => {
  it('accepts 1 to 1000 children', () => {
    for (const n of [1, 1000]) requireSpawnRules({ ...spawn, n });
    assert.throws(() => {
      requireSpawnRules({ ...spawn, n: 0 });
    }, /n must be ≥ 1/);
    assert.throws(() => {
      requireSpawnRules({ ...spawn, n: 1001 });
    }, /n must be ≤ 1000/);
  });

  it('refuses what cannot be done rather than ignoring it', () => {
    assert.throws(
      () => {
        requireSpawnRules({ ...spawn, hugepages: true });
      },
      { name: 'DomainError', code: 'invalid', message: /leave it out/ },
    );
  });

  it('refuses a memory limit of nothing', () => {
    assert.throws(() => {
      requireSpawnRules({ ...spawn, limits: { ...NO_LIMITS, memory_limit_mib: 0 } });
    }, /memory_limit_mib must be ≥ 1/);
  });
});

describe('exec rules', () => {
  it('wants a program and a time limit of at most a day', () => {
    requireExecRules(['true'], 0);
    requireExecRules(['true'], 86_400);
    assert.throws(() => {
      requireExecRules([], 30);
    }, /args must contain at least one element/);
    assert.throws(() => {
      requireExecRules(['true'], 2 ** 63);
    }, /timeout_secs must be ≤ 86400/);
    assert.throws(() => {
      requireExecRules(['a\0b'], 30);
    }, /NUL/);
  });
});

describe('SandboxIds', () => {
  it('gives ids in the alphabet that clients accept, none twice', () => {
    const ids = new SandboxIds(0xfffe);
    const given = Array.from({ length: 5 }, () => ids.next(0x6657e0c0, () => false));
    assert.equal(given[0], 'sb-6657e0c0-fffe');
    assert.equal(new Set(given).size, 5);
    for (const id of given) assert.match(id, /^sb-[0-9a-f]{8}-[0-9a-f]{4,}$/);
    // The next daemon, on a host whose clock was set back.
    const again = new SandboxIds(0xfffe);
    assert.equal(
      again.next(0x6657e0c0, (id) => given.includes(id)),
      'sb-6657e0c0-10003',
    );
  });
});
