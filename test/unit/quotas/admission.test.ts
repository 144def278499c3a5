import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DaemonConfig } from '../../../src/common/config/daemon-config';
import type { MetricsService } from '../../../src/modules/metrics/metrics.service';
import { AdmissionService } from '../../../src/modules/quotas/admission.service';
import { hostMemory, requireRoomFor } from '../../../src/modules/quotas/domain/admission';
import { settingsIn } from '../../support/app';

const open = { maxSandboxes: undefined, memoryReserveMib: 0, memoryOvercommit: undefined };
const none = { sandboxes: 0, promisedMib: 0, startingMib: 0 };
const host = { totalMib: 4096, availableMib: 2048 };
const three = { sandboxes: 3, promisedMib: 900, startingMib: 144 };

const refused = (act: () => void, message: RegExp): void => {
  assert.throws(act, { name: 'DomainError', code: 'unavailable', retryAfterSecs: 5, message });
};

describe('admission', () => {
  it('counts a request as a whole', () => {
    const ceilings = { ...open, maxSandboxes: 4 };
    requireRoomFor(three, { ...none, sandboxes: 1 }, host, ceilings);
    refused(() => {
      requireRoomFor(three, { ...none, sandboxes: 2 }, host, ceilings);
    }, /may have 4 sandboxes \(--max-sandboxes\): 2 run or are being started, and 3 more/);
  });

  it('keeps the reserve free, also of what is just being started', () => {
    const ceilings = { ...open, memoryReserveMib: 1500 };
    requireRoomFor(three, none, host, ceilings);
    refused(() => {
      requireRoomFor(three, { ...none, startingMib: 500 }, host, ceilings);
    }, /1548 MiB .* keeps 1500 MiB .*--memory-reserve/);
  });

  it('does not look at memory when none is reserved', () => {
    requireRoomFor({ ...three, startingMib: 9999 }, none, host, open);
  });

  it('promises no more than the overcommit allows', () => {
    const ceilings = { ...open, memoryReserveMib: 96, memoryOvercommit: 0.5 };
    requireRoomFor(three, { ...none, promisedMib: 1100 }, host, ceilings);
    refused(() => {
      requireRoomFor(three, { ...none, promisedMib: 1101 }, host, ceilings);
    }, /promise 2000 MiB .*--memory-overcommit 0.5/);
  });

  it('reads the memory of the host', () => {
    assert.deepEqual(hostMemory('MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n'), {
      totalMib: 2,
      availableMib: 1,
    });
  });

  it('gives the last room to one of those that ask at the same moment, and gives it back', async () => {
    const counters = new Map<string, () => number>();
    const metrics = {
      addCounter: (name: string, _help: string, read: () => number) => counters.set(name, read),
    } as unknown as MetricsService;
    const config = new DaemonConfig({ ...settingsIn('/tmp'), maxSandboxes: 5, memoryReserveMib: 0 });
    const admission = new AdmissionService(config, metrics);
    const ask = (): ReturnType<AdmissionService['admit']> =>
      admission.admit(3, { committedMib: 1 }, () => []);
    const outcomes = await Promise.allSettled([ask(), ask(), ask()]);
    const given = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    assert.equal(given.length, 1);
    assert.equal(counters.get('forkd_admission_refusals_total')?.(), 2);
    given[0]?.release();
    given[0]?.release();
    await ask();
  });
});
