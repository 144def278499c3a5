import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connected, LONG_MS, WINDOW_BYTES } from '../../support/guest/connected';
import { EXEC_DONE, Wire } from '../../support/guest/fake-agent';

const MAGIC = Buffer.from('f78ba1d59ec3e6fb91ad88b2f59cd7ea', 'hex');

const isEnd = (stream: number) => (frame: { type: number; stream: number }) =>
  frame.type === Wire.end && frame.stream === stream;

describe('standard input', () => {
  it('of no bytes is an END', async () => {
    const { agent, guest } = await connected({ onRequest: () => undefined });
    const call = agent.exec({ args: ['cat'], timeoutMs: LONG_MS, stdin: Buffer.alloc(0) });
    const end = await guest.agent.frame(isEnd(1));
    assert.equal(end.channel, 0);
    assert.deepEqual(
      guest.agent.frames.map((frame) => frame.type),
      [Wire.request, Wire.end],
    );
    guest.agent.result(1, EXEC_DONE);
    await call;
    agent.close();
  });

  it('with the magic in it arrives whole and resets nothing', async () => {
    const { agent, guest } = await connected({ onRequest: () => undefined });
    const stdin = Buffer.concat([MAGIC, Buffer.alloc(65_530, 'x'), MAGIC, MAGIC, Buffer.from('end')]);
    const call = agent.exec({ args: ['cat'], timeoutMs: LONG_MS, stdin });
    await guest.agent.frame(isEnd(1));
    assert.deepEqual(guest.agent.stdin(1), stdin);
    assert.equal(guest.agent.syncs, 1);
    guest.agent.result(1, EXEC_DONE);
    await call;
    agent.close();
  });

  it('waits for a program that reads slowly, while other calls go on', async () => {
    const { agent, guest } = await connected({
      onRequest: ({ agent: fake, stream, method }) => {
        if (method === 'ping') fake.result(stream, { pong: true });
      },
    });
    const stdin = Buffer.alloc(WINDOW_BYTES * 2 + 1000);
    for (let at = 0; at < stdin.length; at += 1) stdin[at] = at % 251;
    const call = agent.exec({ args: ['cat'], timeoutMs: LONG_MS, stdin });
    const fake = guest.agent;
    const windowFull = fake.frame(() => fake.stdin(1).length === WINDOW_BYTES);
    await windowFull;
    await agent.ping(LONG_MS);
    assert.equal(fake.stdin(1).length, WINDOW_BYTES, 'no byte past the window');
    fake.window(1, 1);
    await fake.frame(() => fake.stdin(1).length === WINDOW_BYTES + 1);
    await agent.ping(LONG_MS);
    assert.equal(fake.stdin(1).length, WINDOW_BYTES + 1);
    fake.window(1, WINDOW_BYTES);
    await fake.frame(() => fake.stdin(1).length === WINDOW_BYTES * 2 + 1);
    fake.window(1, WINDOW_BYTES);
    await fake.frame(isEnd(1));
    assert.deepEqual(fake.stdin(1), stdin);
    fake.window(1, 999);
    fake.result(1, EXEC_DONE);
    await call;
    fake.window(1, 5);
    await agent.ping(LONG_MS);
    agent.close();
  });

  it('of several programs takes turns', async () => {
    const { agent, guest } = await connected({ onRequest: () => undefined });
    const big = agent.exec({
      args: ['cat'],
      timeoutMs: LONG_MS,
      stdin: Buffer.alloc(10 * WINDOW_BYTES, 'b'),
    });
    const small = agent.exec({ args: ['cat'], timeoutMs: LONG_MS, stdin: Buffer.from('small') });
    await guest.agent.frame(isEnd(2));
    assert.equal(guest.agent.stdin(2).toString(), 'small');
    guest.agent.result(2, EXEC_DONE);
    await small;
    guest.agent.result(1, EXEC_DONE);
    await big;
    agent.close();
  });

  it('stops when the program ends or the call is aborted', async () => {
    const { agent, guest } = await connected({
      onRequest: ({ agent: fake, stream, method }) => {
        if (method === 'ping') fake.result(stream, { pong: true });
      },
    });
    const fake = guest.agent;
    const controller = new AbortController();
    const stdin = Buffer.alloc(4 * WINDOW_BYTES);
    const ended = agent.exec({ args: ['true'], timeoutMs: LONG_MS, stdin });
    const aborted = agent.exec({ args: ['cat'], timeoutMs: LONG_MS, stdin }, { signal: controller.signal });
    await fake.frame(() => fake.stdin(1).length === WINDOW_BYTES && fake.stdin(2).length === WINDOW_BYTES);
    fake.result(1, EXEC_DONE);
    await ended;
    controller.abort();
    await assert.rejects(aborted, { name: 'AbortError' });
    fake.window(1, WINDOW_BYTES);
    fake.window(2, WINDOW_BYTES);
    fake.refuse(2, 'cancelled', 'cancelled');
    await agent.ping(LONG_MS);
    assert.equal(fake.stdin(1).length, WINDOW_BYTES);
    assert.equal(fake.stdin(2).length, WINDOW_BYTES);
    agent.close();
  });
});
