import type { Duplex } from 'node:stream';
import { abortReason, listenForAbort } from './abort';
import { DomainError } from '../../common/errors/domain-error';
import { GuestConnection } from './guest-connection';
import { GuestError, unanswered } from './guest-error';
import { GuestIdentity } from './guest-agent.types';
import { readIdentity } from './guest-messages';
import { OutgoingRequest } from './guest-stream';

/** Opens the byte channel to a guest; a new one replaces the old. */
export type OpenChannel = () => Promise<Duplex>;

export interface ConnectOptions {
  /** Ends the attempt; has no effect on an agent that is connected. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the attempt as a whole. */
  readonly deadlineMs: number;
}

const MIN_ENTROPY_BYTES = 32;
const MAX_ENTROPY_BYTES = 512;
const MAX_HOSTNAME_CHARS = 64;

/**
 * Opens a channel and waits for the agent's HELLO, and for its answer to `identity` where one is given, which is sent
 * with SYNC in one write. On failure nothing is left open. Rejects as {@link GuestAgent.connect} says.
 */
export function openConnection(
  openChannel: OpenChannel,
  options: ConnectOptions,
  identity?: GuestIdentity,
): Promise<GuestConnection> {
  return new Promise((resolve, reject) => {
    if (identity !== undefined) checkIdentity(identity);
    new ConnectAttempt(options, identity, resolve, reject).start(openChannel);
  });
}

class ConnectAttempt {
  private connection: GuestConnection | undefined;
  private settled = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly options: ConnectOptions,
    private readonly identity: GuestIdentity | undefined,
    private readonly resolve: (connection: GuestConnection) => void,
    private readonly reject: (error: Error) => void,
  ) {}

  start(openChannel: OpenChannel): void {
    const { signal, deadlineMs } = this.options;
    if (signal?.aborted === true) {
      this.reject(abortReason(signal));
      return;
    }
    this.timer = setTimeout(this.onDeadline, deadlineMs);
    if (signal !== undefined) listenForAbort(signal, this.onAbort);
    openChannel().then(this.onChannel, (error: unknown) => {
      this.fail(unanswered(error));
    });
  }

  private readonly onChannel = (channel: Duplex): void => {
    if (this.settled || channel.destroyed) {
      channel.destroy();
      this.fail(unanswered('the channel was closed by the other side'));
      return;
    }
    try {
      this.connection = new GuestConnection(channel, this, this.firstRequest());
    } catch (error) {
      channel.destroy();
      this.fail(unanswered(error));
    }
  };

  onHello(): void {
    if (this.identity === undefined) this.succeed();
  }

  onBroken(error: Error): void {
    this.fail(error);
  }

  private firstRequest(): OutgoingRequest | undefined {
    if (this.identity === undefined) return undefined;
    const { entropy, hostname } = this.identity;
    return {
      method: 'identity',
      params: { entropy: entropy.toString('base64'), unix_ns: `${Date.now()}000000`, hostname },
      handler: {
        onOutput: () => undefined,
        onResponse: (response) => {
          if (response instanceof GuestError) {
            this.fail(response);
            return;
          }
          readIdentity(response);
          this.succeed();
        },
        onBroken: (error) => {
          this.fail(error);
        },
      },
    };
  }

  private readonly onDeadline = (): void => {
    const stage =
      this.connection === undefined
        ? 'the channel did not open'
        : this.connection.hello === undefined
          ? 'no HELLO'
          : 'no answer to identity';
    this.fail(unanswered(`${stage} within ${this.options.deadlineMs} ms`));
  };

  private readonly onAbort = (): void => {
    if (this.options.signal !== undefined) this.fail(abortReason(this.options.signal));
  };

  private succeed(): void {
    if (this.settled || this.connection === undefined) return;
    this.release();
    this.resolve(this.connection);
  }

  private fail(error: Error): void {
    if (this.settled) return;
    this.release();
    this.connection?.close(error);
    this.reject(error);
  }

  private release(): void {
    this.settled = true;
    clearTimeout(this.timer);
    this.options.signal?.removeEventListener('abort', this.onAbort);
  }
}

function checkIdentity({ entropy, hostname }: GuestIdentity): void {
  if (entropy.length < MIN_ENTROPY_BYTES || entropy.length > MAX_ENTROPY_BYTES) {
    throw new DomainError(
      'invalid',
      `an identity takes ${MIN_ENTROPY_BYTES} to ${MAX_ENTROPY_BYTES} bytes of entropy, not ${entropy.length}`,
    );
  }
  if (hostname.length === 0 || hostname.length > MAX_HOSTNAME_CHARS) {
    throw new DomainError(
      'invalid',
      `a hostname has 1 to ${MAX_HOSTNAME_CHARS} characters, not ${hostname.length}`,
    );
  }
}
