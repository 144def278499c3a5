import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DomainError } from '../../../src/common/errors/domain-error';
import { GuestAgent } from '../../../src/modules/guest/guest-agent';
import { connected, LONG_MS, noAnswer } from '../../support/guest/connected';
import { FakeGuest, PONG } from '../../support/guest/fake-agent';

describe('a broken channel', () => {
  it('fails the open calls; the next ones connect again, once', async () => {
    const { agent, guest } = await connected({
      onRequest: ({ agent, stream, method }) => {
        if (method === 'ping') agent.result(stream, PONG);
      },
    });
    const first = guest.agent;
    const calls = [1, 2, 3].map(() => agent.exec({ args: ['sleep', '1'], timeoutMs: LONG_MS }));
    const outcomes = Promise.all(
      calls.map((call) => assert.rejects(call, noAnswer(/closed by the other side/))),
    );
    await first.frame((frame) => frame.stream === 3);
    first.channel.end();
    await outcomes;
    assert.deepEqual(await Promise.all([agent.ping(LONG_MS), agent.ping(LONG_MS)]), [PONG, PONG]);
    assert.equal(guest.agents.length, 2);
    assert.equal(guest.agent.syncs, 1);
    agent.close();
  });

  it('that cannot be opened again fails each call after one attempt, until it can', async () => {
    const guest = new FakeGuest();
    let attempts = 0;
    let broken = false;
    const agent = await GuestAgent.connect(
      () => {
        attempts += 1;
        return broken ? Promise.reject(new Error('connection refused')) : guest.openChannel();
      },
      { deadlineMs: LONG_MS },
    );
    broken = true;
    const open = agent.exec({ args: ['x'], timeoutMs: LONG_MS });
    guest.agent.channel.destroy();
    await assert.rejects(open, DomainError);
    await assert.rejects(agent.ping(LONG_MS), noAnswer(/connection refused/));
    assert.equal(attempts, 2);
    broken = false;
    assert.deepEqual(await agent.ping(LONG_MS), PONG);
    assert.equal(attempts, 3);
    agent.close();
  });

  it('that hangs is left for a new one by the call after the deadline', async () => {
    let hang = true;
    const { agent, guest } = await connected({
      onRequest: ({ agent, stream }) => {
        if (!hang) agent.result(stream, PONG);
      },
    });
    await assert.rejects(agent.ping(20), noAnswer(/no answer to ping within 20 ms/));
    hang = false;
    assert.deepEqual(await agent.ping(LONG_MS), PONG);
    assert.equal(guest.agents.length, 2);
    agent.close();
  });

  it('does not make a ping wait past its deadline', async () => {
    const guest = new FakeGuest();
    let hang = false;
    const agent = await GuestAgent.connect(
      () => (hang ? new Promise(() => undefined) : guest.openChannel()),
      { deadlineMs: LONG_MS },
    );
    hang = true;
    const open = agent.exec({ args: ['x'], timeoutMs: LONG_MS });
    guest.agent.channel.destroy();
    await assert.rejects(open, DomainError);
    await assert.rejects(agent.ping(20), noAnswer(/no answer to ping within 20 ms/));
    const controller = new AbortController();
    const call = agent.exec({ args: ['x'], timeoutMs: LONG_MS }, { signal: controller.signal });
    controller.abort();
    await assert.rejects(call, { name: 'AbortError' });
    agent.close();
    await agent.closed;
  });
});

describe('close', () => {
  it('fails open and later calls, lets go of the channel and settles `closed`', async () => {
    const { agent, guest } = await connected({ onRequest: () => undefined });
    const open = assert.rejects(agent.ping(LONG_MS), noAnswer(/its client was closed/));
    agent.close();
    agent.close();
    await open;
    await agent.closed;
    await guest.agent.hostGone();
    await assert.rejects(agent.ping(LONG_MS), noAnswer(/its client was closed/));
    assert.equal(guest.agents.length, 1);
  });
});
