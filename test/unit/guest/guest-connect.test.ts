import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GuestAgent } from '../../../src/modules/guest/guest-agent';
import { connected, LONG_MS, noAnswer } from '../../support/guest/connected';
import { FakeGuest, FakeRequest, HELLO, PONG } from '../../support/guest/fake-agent';

const IDENTITY = { entropy: Buffer.alloc(64, 9), hostname: 'sb-1' };

describe('connecting', () => {
  it('resolves with HELLO', async () => {
    const { agent } = await connected();
    assert.deepEqual(agent.hello, HELLO);
    agent.close();
  });

  it('is not confused by what an earlier connection left in the channel', async () => {
    const { agent } = await connected({
      onSync: (guest, nonce) => {
        guest.output(9, 1, 'half a frame of the last connec');
        guest.channel.write(Buffer.from('00000fff0401', 'hex'));
        guest.answerSync(Buffer.alloc(16, 1));
        guest.hello({ ...HELLO, agent: 'stale' });
        guest.answerSync(nonce);
        guest.hello();
      },
    });
    assert.equal(agent.hello.agent, HELLO.agent);
    assert.deepEqual(await agent.ping(LONG_MS), PONG);
    agent.close();
  });

  it('fails when the channel cannot be opened, closes early or stays silent, and closes it', async () => {
    const options = { deadlineMs: LONG_MS };
    await assert.rejects(
      GuestAgent.connect(() => Promise.reject(new Error('connect ENOENT')), options),
      noAnswer(/connect ENOENT/),
    );
    const gone = new FakeGuest({
      onSync: (guest) => {
        guest.channel.end();
      },
    });
    await assert.rejects(GuestAgent.connect(gone.openChannel, options), noAnswer(/closed by the other side/));
    const silent = new FakeGuest({ onSync: () => undefined });
    await assert.rejects(
      GuestAgent.connect(silent.openChannel, { deadlineMs: 20 }),
      noAnswer(/no HELLO within 20 ms/),
    );
    await silent.agent.hostGone();
  });

  it('can be aborted, before the channel is open and after', async () => {
    const silent = new FakeGuest({
      onSync: () => {
        controller.abort(new Error('not needed any more'));
      },
    });
    const controller = new AbortController();
    const attempt = GuestAgent.connect(silent.openChannel, {
      deadlineMs: LONG_MS,
      signal: controller.signal,
    });
    await assert.rejects(attempt, /not needed any more/);
    await silent.agent.hostGone();
    const late = new AbortController();
    const slow = new FakeGuest();
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const waiting = GuestAgent.connect(() => opened.then(slow.openChannel), {
      deadlineMs: LONG_MS,
      signal: late.signal,
    });
    late.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    open();
    await opened;
    await new Promise((resolve) => setImmediate(resolve));
    await slow.agent.hostGone();
    assert.equal(slow.agent.syncs, 0);
  });
});

describe('handshake', () => {
  it('sends SYNC and identity in one write and resolves with both answers', async () => {
    const requests: FakeRequest[] = [];
    const guest = new FakeGuest({
      onRequest: (request) => {
        requests.push(request);
        request.agent.result(request.stream, { clock_step_ns: '5' });
      },
    });
    const writes: Buffer[] = [];
    const before = BigInt(Date.now()) * 1_000_000n;
    const agent = await GuestAgent.handshake(
      async () => {
        const channel = await guest.openChannel();
        guest.agent.channel.prependListener('data', (chunk: Buffer) => writes.push(chunk));
        return channel;
      },
      IDENTITY,
      { deadlineMs: LONG_MS },
    );
    const after = BigInt(Date.now()) * 1_000_000n;
    assert.equal(writes.length, 1);
    const [request] = requests;
    assert.equal(request?.method, 'identity');
    assert.equal(request.params['entropy'], IDENTITY.entropy.toString('base64'));
    assert.equal(request.params['hostname'], 'sb-1');
    const sent = BigInt(String(request.params['unix_ns']));
    assert.ok(sent >= before && sent <= after);
    assert.deepEqual(agent.hello, HELLO);
    agent.close();
  });

  it('fails when the guest refuses, and when only HELLO comes', async () => {
    const refusing = new FakeGuest({
      onRequest: ({ agent, stream }) => {
        agent.refuse(stream, 'internal', 'no /dev/random');
      },
    });
    const failed = GuestAgent.handshake(refusing.openChannel, IDENTITY, { deadlineMs: LONG_MS });
    await assert.rejects(failed, { name: 'GuestError', code: 'internal', message: 'no /dev/random' });
    await refusing.agent.hostGone();
    const half = new FakeGuest({ onRequest: () => undefined });
    await assert.rejects(
      GuestAgent.handshake(half.openChannel, IDENTITY, { deadlineMs: 20 }),
      noAnswer(/no answer to identity within 20 ms/),
    );
    await half.agent.hostGone();
  });

  it('refuses an identity without enough entropy before anything is opened', async () => {
    const guest = new FakeGuest();
    const weak = { entropy: Buffer.alloc(31), hostname: 'sb-1' };
    await assert.rejects(GuestAgent.handshake(guest.openChannel, weak, { deadlineMs: LONG_MS }), {
      code: 'invalid',
    });
    assert.equal(guest.agents.length, 0);
  });
});
