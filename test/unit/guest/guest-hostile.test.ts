import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DomainError } from '../../../src/common/errors/domain-error';
import { GuestAgent } from '../../../src/modules/guest/guest-agent';
import { GuestError } from '../../../src/modules/guest/guest-error';
import { connected, execAgainst, LONG_MS } from '../../support/guest/connected';
import {
  EXEC_DONE,
  FakeAgent,
  FakeGuest,
  HELLO,
  PONG,
  Wire,
  wireFrame,
} from '../../support/guest/fake-agent';

describe('a hostile guest', () => {
  const violations: readonly [string, RegExp, (agent: FakeAgent, stream: number) => void][] = [
    [
      'a malformed header',
      /reserved field/,
      (agent) => agent.channel.write(Buffer.from('000000000400000000010001', 'hex')),
    ],
    [
      'a frame too long',
      /16777215 bytes/,
      (agent) => agent.channel.write(Buffer.from('00ffffff0401000000010000', 'hex')),
    ],
    [
      'an unknown type',
      /unknown type 200/,
      (agent) => {
        agent.send(200, 0);
      },
    ],
    [
      'a second HELLO',
      /second HELLO/,
      (agent) => {
        agent.hello();
      },
    ],
    [
      'REQUEST',
      /only the host/,
      (agent) => {
        agent.send(Wire.request, 1, '{}');
      },
    ],
    [
      'CANCEL',
      /only the host/,
      (agent, stream) => {
        agent.send(Wire.cancel, stream);
      },
    ],
    [
      'RESPONSE that is no JSON',
      /RESPONSE is malformed/,
      (agent, stream) => {
        agent.send(Wire.response, stream, 'x');
      },
    ],
    [
      'RESPONSE of the wrong shape',
      /RESPONSE is malformed/,
      (agent, stream) => {
        agent.send(Wire.response, stream, '{"result":1}');
      },
    ],
    [
      'a result out of range',
      /exit_code is malformed/,
      (agent, stream) => {
        agent.result(stream, { ...EXEC_DONE, exit_code: 1e9 });
      },
    ],
    [
      'DATA on standard input',
      /channel 0/,
      (agent, stream) => {
        agent.send(Wire.data, stream, 'x', 0);
      },
    ],
    [
      'DATA after END',
      /after END/,
      (agent, stream) => {
        agent.send(Wire.end, stream, '', 1);
        agent.output(stream, 1, 'x');
      },
    ],
    [
      'END twice',
      /END twice/,
      (agent, stream) => {
        agent.send(Wire.end, stream, '', 2);
        agent.send(Wire.end, stream, '', 2);
      },
    ],
    [
      'WINDOW for what was not sent',
      /more than was sent/,
      (agent, stream) => {
        agent.window(stream, 4);
      },
    ],
    [
      'endless WINDOW credit',
      /more than was sent/,
      (agent, stream) => {
        agent.window(stream, 0xffffffff);
      },
    ],
    [
      'an answer whose parts never end',
      /parts of answers are too long/,
      (agent, stream) => {
        for (let sent = 0; sent <= 512; sent++) agent.send(Wire.part, stream, 'x'.repeat(65_536));
      },
    ],
    [
      'WINDOW for its own output',
      /does not send/,
      (agent, stream) => {
        agent.window(stream, 1, 1);
      },
    ],
  ];
  for (const [name, reason, act] of violations) {
    it(`that sends ${name} loses its connection`, async () => {
      const { outcome } = await execAgainst(act);
      assert.ok(outcome instanceof DomainError, String(outcome));
      assert.equal(outcome.code, 'internal');
      assert.match(outcome.message, /^the guest agent does not answer: it broke the protocol: /);
      assert.match(outcome.message, reason);
    });
  }

  it('that sends more output than the limit is cut off', async () => {
    const { outcome } = await execAgainst((agent, stream) => {
      agent.output(stream, 1, Buffer.alloc(1001));
    }, 1000);
    assert.ok(outcome instanceof DomainError);
    assert.match(outcome.message, /more output than the request allows/);
  });

  it('that sends output for a ping is cut off', async () => {
    const { agent } = await connected({
      onRequest: ({ agent: fake, stream }) => {
        fake.output(stream, 1, 'x');
      },
    });
    await assert.rejects(agent.ping(LONG_MS), /channel 1 of a stream that has none/);
    agent.close();
  });

  it('that sends frames before HELLO, a HELLO of the wrong shape or an older version is not connected to', async () => {
    const cases: readonly [RegExp, (agent: FakeAgent) => void][] = [
      [
        /a frame before HELLO/,
        (agent) => {
          agent.output(1, 1, 'x');
        },
      ],
      [
        /a frame before HELLO/,
        (agent) => {
          agent.send(Wire.hello, 1, JSON.stringify(HELLO));
        },
      ],
      [
        /HELLO is malformed/,
        (agent) => {
          agent.hello([]);
        },
      ],
      [
        /version 0, and this daemon needs 1/,
        (agent) => {
          agent.hello({ ...HELLO, protocol: 0 });
        },
      ],
    ];
    for (const [reason, act] of cases) {
      const guest = new FakeGuest({
        onSync: (agent, nonce) => {
          agent.answerSync(nonce);
          act(agent);
        },
      });
      await assert.rejects(GuestAgent.connect(guest.openChannel, { deadlineMs: LONG_MS }), {
        message: reason,
      });
      await guest.agent.hostGone();
    }
  });

  it('that sends any bytes whatever ends in a result or a clean error', async () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)),
      fc
        .tuple(
          fc.integer({ min: 0, max: 8 }),
          fc.integer({ min: 0, max: 2 }),
          fc.integer({ min: 0, max: 2 }),
          fc.string({ maxLength: 8 }),
        )
        .map(([type, stream, channel, payload]) => wireFrame(type, stream, payload, channel)),
      fc.jsonValue().map((result) => wireFrame(Wire.response, 1, JSON.stringify({ result }))),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
        const { outcome } = await execAgainst((fake) => {
          fake.channel.write(Buffer.concat(pieces));
          fake.channel.end();
        });
        assert.ok(
          outcome instanceof DomainError || outcome instanceof GuestError || !(outcome instanceof Error),
        );
      }),
      { numRuns: 150 },
    );
  });

  it('that was cut off is met again with a new SYNC', async () => {
    let hostile = true;
    const { agent, guest } = await connected({
      onRequest: ({ agent: fake, stream }) => {
        if (hostile) fake.hello();
        else fake.result(stream, PONG);
      },
    });
    await assert.rejects(agent.ping(LONG_MS), /second HELLO/);
    hostile = false;
    assert.deepEqual(await agent.ping(LONG_MS), PONG);
    assert.equal(guest.agents.length, 2);
    agent.close();
  });
});
