import { DomainError } from '../../../src/common/errors/domain-error';
import { GuestAgent } from '../../../src/modules/guest/guest-agent';
import { FakeAgent, FakeBehaviour, FakeGuest } from './fake-agent';

/** A deadline no test waits for. */
export const LONG_MS = 60_000;
export const WINDOW_BYTES = 262_144;

/** A client connected to a fake guest. */
export async function connected(
  behaviour: FakeBehaviour = {},
): Promise<{ guest: FakeGuest; agent: GuestAgent }> {
  const guest = new FakeGuest(behaviour);
  return { guest, agent: await GuestAgent.connect(guest.openChannel, { deadlineMs: LONG_MS }) };
}

/** What `assert.rejects` expects of a call that got no answer. */
export function noAnswer(reason: RegExp): { name: string; code: string; message: RegExp } {
  return {
    name: 'DomainError',
    code: 'internal',
    message: new RegExp(`^the guest agent does not answer: .*${reason.source}`),
  };
}

/** An exec with standard input, against a guest that does `act` on its stream. */
export async function execAgainst(
  act: (agent: FakeAgent, stream: number) => void,
  outputLimit?: number,
): Promise<{ outcome: unknown; fake: FakeAgent }> {
  const { agent, guest } = await connected({
    onRequest: ({ agent: fake, stream }) => {
      act(fake, stream);
    },
  });
  const outcome = await agent
    .exec({
      args: ['x'],
      timeoutMs: LONG_MS,
      stdin: Buffer.from('abc'),
      ...(outputLimit !== undefined && { outputLimit }),
    })
    .catch((error: unknown) => error);
  const fake = guest.agent;
  if (outcome instanceof DomainError) await fake.hostGone();
  agent.close();
  return { outcome, fake };
}
