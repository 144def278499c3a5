import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SimulatedHost } from '../../support/simulated-host';

/** What the kernel says when there is no more of something, as Node or QEMU pass it on. */
const REASONS: readonly (readonly [error: Error, advice: RegExp])[] = [
  [
    Object.assign(new Error('spawn qemu-system-x86_64 EAGAIN'), { code: 'EAGAIN' }),
    /allows no more processes.*TasksMax=/,
  ],
  [
    Object.assign(new Error('spawn qemu-system-x86_64 EMFILE'), { code: 'EMFILE' }),
    /no file descriptors left.*LimitNOFILE=/,
  ],
  [
    Object.assign(new Error('ENFILE: file table overflow, open'), { code: 'ENFILE' }),
    /no file descriptors left.*fs\.file-max/,
  ],
  [new Error('qemu: cannot set up guest memory: Cannot allocate memory'), /no memory left.*delete sandboxes/],
  [Object.assign(new Error('ENOSPC: no space left on device, mkdir'), { code: 'ENOSPC' }), /disk is full/],
];

describe('a spawn of 1,000 on a host whose resources end at 40', () => {
  let host: SimulatedHost;

  before(async () => {
    // What is simulated takes no memory, so none is asked for before.
    host = await SimulatedHost.start({ memoryReserveMib: 0 });
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
  });

  for (const [reason, advice] of REASONS) {
    it(`leaves nothing and says what ran out: ${reason.message}`, async () => {
      const started = host.faults.record();
      const hit = host.faults.inject({ name: 'restore', nth: 41, action: 'fail', error: reason });
      const error = await host.client.error(500, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', n: 1000 });
      await hit;
      assert.ok(error.startsWith(`restore_many: ${reason.message}; `), error);
      assert.match(error, advice);
      const [, count] = /(\d+) of 1000 sandboxes had started, and none of them is left/.exec(error) ?? [];
      assert.ok(Number(count) > 0 && Number(count) <= 1000, error);
      // Nobody starts hundreds more when the first could not be started.
      assert.ok(started.filter(({ name }) => name === 'restore').length <= 60);
      host.faults.release();
      assert.deepEqual(await host.traces(), []);
      const [child] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
        snapshot_tag: 'py',
      });
      await host.client.json(204, 'DELETE', `/v1/sandboxes/${child?.id ?? ''}`);
    });
  }
});
