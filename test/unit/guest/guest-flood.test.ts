import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DomainError } from '../../../src/common/errors/domain-error';
import { MAX_IDLE_FRAMES, MAX_OPEN_REQUESTS } from '../../../src/modules/guest/guest-connection';
import { connected, execAgainst, LONG_MS, WINDOW_BYTES } from '../../support/guest/connected';
import { EXEC_DONE, Wire, wireFrame } from '../../support/guest/fake-agent';

describe('a guest', () => {
  it('that floods with frames that lead nowhere is cut off, and the event loop goes on', async () => {
    const frames: readonly Buffer[] = [
      wireFrame(Wire.data, 99, 'x', 1),
      wireFrame(Wire.response, 99, '{}'),
      wireFrame(Wire.data, 1, '', 1),
      wireFrame(Wire.window, 1, Buffer.alloc(4)),
      wireFrame(Wire.end, 77, '', 1),
    ];
    for (const frame of frames) {
      const { outcome } = await execAgainst((agent) => {
        agent.channel.write(Buffer.concat(Array.from({ length: MAX_IDLE_FRAMES + 1 }, () => frame)));
      });
      assert.ok(outcome instanceof DomainError);
      assert.match(outcome.message, /frames that lead nowhere/);
    }
  });

  it('that sends a burst of good frames does not hold the event loop', async () => {
    const bytes = 200_000;
    let turns = 0;
    const count = (): void => {
      turns += 1;
      turn = setImmediate(count);
    };
    let turn = setImmediate(count);
    const burst = Buffer.concat([
      ...Array.from({ length: bytes }, () => wireFrame(Wire.data, 1, 'x', 1)),
      wireFrame(Wire.response, 1, JSON.stringify({ result: EXEC_DONE })),
    ]);
    const { outcome } = await execAgainst((agent) => {
      turns = 0;
      agent.channel.write(burst);
    });
    clearImmediate(turn);
    assert.ok(typeof outcome === 'object' && outcome !== null && 'stdout' in outcome, String(outcome));
    assert.deepEqual(outcome.stdout, Buffer.alloc(bytes, 'x'));
    assert.ok(turns > 100, `${turns} turns for ${bytes} frames`);
  });

  it('that opens nothing and answers nothing cannot pile up requests', async () => {
    const { agent } = await connected({ onRequest: () => undefined });
    const calls = Array.from({ length: MAX_OPEN_REQUESTS }, () => agent.ping(LONG_MS));
    const outcomes = Promise.allSettled(calls);
    await assert.rejects(agent.ping(LONG_MS), { name: 'DomainError', code: 'unavailable' });
    agent.close();
    assert.ok((await outcomes).every(({ status }) => status === 'rejected'));
  });

  it('that never answers CANCEL loses its connection in the end', async () => {
    const { agent, guest } = await connected({ onRequest: () => undefined });
    const fake = guest.agent;
    for (let round = 0; round < 3 && !fake.channel.readableEnded; round += 1) {
      const controller = new AbortController();
      const calls = Array.from({ length: 400 }, () =>
        agent.exec({ args: ['x'], timeoutMs: LONG_MS }, { signal: controller.signal }),
      );
      controller.abort();
      await Promise.allSettled(calls);
    }
    await fake.hostGone();
    agent.close();
  });
});

describe('huge output', () => {
  it('flows through the window up to the limit, with the guest told of each credit', async () => {
    const limit = 16 * 1024 * 1024;
    const payload = Buffer.alloc(65_536, 'o');
    const { agent, guest } = await connected({ onRequest: () => undefined });
    const call = agent.exec({ args: ['yes'], timeoutMs: LONG_MS });
    const fake = guest.agent;
    await fake.frame((frame) => frame.type === Wire.request);
    let credit = WINDOW_BYTES;
    let seen = 0;
    for (let sent = 0; sent < limit; sent += payload.length) {
      while (credit < payload.length) {
        const from = seen;
        const isNew = (): boolean => fake.frames.length > Math.max(from, 1);
        if (fake.frames.length <= Math.max(from, 1)) await fake.frame(isNew);
        for (; seen < fake.frames.length; seen += 1) {
          const frame = fake.frames[seen];
          if (frame?.type !== Wire.window) continue;
          assert.equal(frame.channel, 1);
          credit += frame.payload.readUInt32BE(0);
        }
        assert.ok(credit <= WINDOW_BYTES);
      }
      fake.output(1, 1, payload);
      credit -= payload.length;
    }
    fake.result(1, { ...EXEC_DONE, stdout_truncated: true });
    const result = await call;
    assert.equal(result.stdout.length, limit);
    assert.ok(result.stdout.every((byte) => byte === 0x6f));
    assert.equal(result.stdoutTruncated, true);
    assert.equal(result.stderrTruncated, false);
    agent.close();
  });
});
