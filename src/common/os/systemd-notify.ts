import { runProcess } from './run-process';

/** What systemd tells a service in its environment; sources: sd_notify(3), sd_watchdog_enabled(3). */
export interface ServiceEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly WATCHDOG_USEC?: string | undefined;
  readonly WATCHDOG_PID?: string | undefined;
}

/** Hands assignments such as READY=1 to the service manager. */
export type NotifySend = (assignments: readonly string[]) => Promise<void>;

const SEND_TIMEOUT_MS = 10_000;

/**
 * Tells systemd how this service is: ready, reloading, stopping, and alive. Does nothing where no service manager listens.
 *
 * The sign of life is given out of the event loop, at half of the time systemd allows, so a daemon whose loop hangs is
 * restarted. Messages go out one after the other, in order, and never fail what they tell about.
 */
export class SystemdNotifier {
  private work: Promise<void> = Promise.resolve();
  private alive: NodeJS.Timeout | undefined;
  private isReady = false;

  /**
   * @param watchdogMs how often a sign of life is wanted at least; undefined for never.
   * @param warn takes what went wrong, in words.
   */
  constructor(
    private readonly send: NotifySend | undefined,
    private readonly watchdogMs: number | undefined,
    private readonly warn: (text: string) => void,
  ) {}

  static fromEnvironment(env: ServiceEnvironment, warn: (text: string) => void): SystemdNotifier {
    const socket = env.NOTIFY_SOCKET;
    if (socket === undefined || socket === '') return new SystemdNotifier(undefined, undefined, warn);
    return new SystemdNotifier(sendWithTool(socket), watchdogOf(env), warn);
  }

  /** The service answers requests from now on. */
  ready(): void {
    this.isReady = true;
    this.tell('READY=1');
    if (this.send === undefined || this.watchdogMs === undefined) return;
    this.alive ??= setInterval(() => {
      this.tell('WATCHDOG=1');
    }, this.watchdogMs / 2).unref();
  }

  /** Does what reads anew what the operator may replace; a service that is not ready yet is not made so by it. */
  async reload(work: () => Promise<void>): Promise<void> {
    if (this.isReady) this.tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    try {
      await work();
    } finally {
      if (this.isReady) this.tell('READY=1');
    }
  }

  /** The service ends. It gives signs of life until {@link close}, as requests in flight may take a while. */
  stopping(): void {
    this.isReady = false;
    this.tell('STOPPING=1');
  }

  /** Settles when all that was said is delivered. */
  async close(): Promise<void> {
    clearInterval(this.alive);
    await this.work;
  }

  private tell(...assignments: string[]): void {
    const { send } = this;
    if (send === undefined) return;
    this.work = this.work
      .then(() => send(assignments))
      .catch((error: unknown) => {
        this.warn(`systemd was not told ${assignments.join(' ')}: ${String(error)}`);
      });
  }
}

/** Node has no datagram sockets of the Unix kind, so systemd's own tool sends for its parent, this process. */
function sendWithTool(socket: string): NotifySend {
  return async (assignments) => {
    await runProcess('systemd-notify', assignments, {
      env: { PATH: '/usr/bin:/bin', NOTIFY_SOCKET: socket },
      timeoutMs: SEND_TIMEOUT_MS,
    });
  };
}

function watchdogOf({ WATCHDOG_USEC, WATCHDOG_PID }: ServiceEnvironment): number | undefined {
  const usec = Number(WATCHDOG_USEC ?? '');
  const meant = WATCHDOG_PID === undefined || WATCHDOG_PID === String(process.pid);
  return meant && Number.isFinite(usec) && usec > 0 ? usec / 1000 : undefined;
}
