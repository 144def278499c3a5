import { Logger } from '@nestjs/common';
import type { WebSocket } from 'ws';
import {
  DomainError,
  type DomainErrorCode,
  errorChain,
  errorMessage,
} from '../../../common/errors/domain-error';
import type { ExecStatus } from '../../guest/guest-messages';
import { GuestError } from '../../guest/guest-error';
import type { GuestProgram, ProgramListener } from '../../guest/guest-program';
import {
  type ClientMessage,
  INPUT_WINDOW_BYTES,
  PIPE,
  readClientMessage,
  type StartMessage,
} from '../domain/stream-messages';

/** Close codes of RFC 6455, 7.4.1. */
export const CloseCode = { done: 1000, goingAway: 1001, violation: 1008, failed: 1011 } as const;

const START_DEADLINE_MS = 10_000;
/** A client that has not answered a ping by the time of the next one is gone. */
const PING_MS = 30_000;
/** Time for the client to answer the closing. */
const CLOSE_DEADLINE_MS = 2_000;
/** Messages without data a client may send in a second. */
const CONTROLS_PER_SECOND = 256;

/** Asks a guest to run what the client wants. */
export type StartProgram = (start: StartMessage, listener: ProgramListener) => Promise<GuestProgram>;

/**
 * One client's program: what the client sends goes to the guest, and the other way round. Both ways, no more is under way than
 * the other side takes. It ends with the program, with the client, or with the daemon.
 */
export class ExecSession implements ProgramListener {
  private readonly logger = new Logger('ExecStream');
  private program: GuestProgram | undefined;
  private stage: 'waiting' | 'starting' | 'running' | 'over' = 'waiting';
  /** What came while the program was being asked for. */
  private early: (() => void)[] = [];
  private inputOpen = false;
  private alive = true;
  private controls = 0;
  private controlsSince = 0;
  private readonly startTimer: NodeJS.Timeout;
  private readonly pings: NodeJS.Timeout;
  private closing: NodeJS.Timeout | undefined;

  constructor(
    private readonly socket: WebSocket,
    private readonly startProgram: StartProgram,
  ) {
    this.startTimer = setTimeout(() => {
      this.fail('invalid', `no start message came within ${START_DEADLINE_MS / 1000} s`, CloseCode.violation);
    }, START_DEADLINE_MS);
    this.pings = setInterval(this.checkAlive, PING_MS);
    socket.on('message', (data, isBinary) => {
      if (Buffer.isBuffer(data)) this.onMessage(data, isBinary);
    });
    socket.on('ping', () => {
      this.countControl();
    });
    socket.on('pong', () => {
      this.alive = true;
    });
    socket.on('error', (error) => {
      // The library closes the connection, with the code that says why.
      this.logger.debug(`a client broke the protocol: ${error.message}`);
    });
    socket.once('close', this.onClose);
  }

  /** Ends because the daemon does. The program runs on in its guest, as one does whose daemon was killed. */
  shutDown(): void {
    this.over();
    this.close(CloseCode.goingAway, 'the daemon is shutting down');
  }

  onOutput(channel: number, payload: Buffer): void {
    const message = Buffer.allocUnsafe(payload.length + 1);
    message[0] = channel === PIPE.stdout ? PIPE.stdout : PIPE.stderr;
    payload.copy(message, 1);
    const { length } = payload;
    this.socket.send(message, { binary: true }, (error?: Error | null) => {
      // Only what has left the daemon makes room for more.
      if (!error) this.program?.consumed(message[0] === 1 ? 1 : 2, length);
    });
  }

  onInputTaken(bytes: number): void {
    this.say({ type: 'window', bytes });
  }

  onEnd(end: ExecStatus | Error): void {
    if (this.stage === 'over') return;
    if (end instanceof GuestError) {
      this.fail('refused', end.message, CloseCode.done);
      return;
    }
    if (end instanceof Error) {
      this.fail('internal', `the program was lost: ${errorMessage(end)}`, CloseCode.failed);
      return;
    }
    this.over();
    this.say({
      type: 'exit',
      exit_code: end.exitCode,
      ...(end.signal === undefined ? {} : { signal: end.signal }),
      timed_out: end.timedOut,
      truncated: end.stdoutTruncated || end.stderrTruncated,
    });
    this.close(CloseCode.done, '');
  }

  private onMessage(data: Buffer, isBinary: boolean): void {
    if (this.stage === 'over') return;
    try {
      if (isBinary) this.onInput(data);
      else {
        this.countControl();
        this.onControl(readClientMessage(data.toString('utf8')));
      }
    } catch (error) {
      this.failWith(error, CloseCode.violation);
    }
  }

  private onInput(data: Buffer): void {
    if (data[0] !== PIPE.stdin)
      throw violation('a binary message begins with the byte 0, for standard input');
    if (!this.inputOpen) throw violation('standard input is not open');
    if (data.length === 1) this.countControl();
    const bytes = data.subarray(1);
    this.whenRunning((program) => {
      if (bytes.length > program.room) {
        throw violation(`more standard input than the window of ${INPUT_WINDOW_BYTES} bytes has room for`);
      }
      program.write(bytes);
    });
  }

  private onControl(message: ClientMessage): void {
    if (message.type === 'start') {
      this.start(message);
      return;
    }
    if (this.stage === 'waiting') throw violation('the first message must be start');
    switch (message.type) {
      case 'stdin_end':
        this.inputOpen = false;
        this.whenRunning((program) => {
          program.endInput();
        });
        return;
      case 'signal':
        this.whenRunning((program) => {
          program.signal(message.number);
        });
        return;
      case 'resize':
        this.whenRunning((program) => {
          program.resize(message);
        });
    }
  }

  private start(message: StartMessage): void {
    if (this.stage !== 'waiting') throw violation('start was sent twice');
    clearTimeout(this.startTimer);
    this.stage = 'starting';
    this.inputOpen = message.stdin;
    this.socket.pause();
    this.startProgram(message, this).then(
      (program) => {
        this.onStarted(program);
      },
      (error: unknown) => {
        if (this.stage === 'starting') this.failWith(error, CloseCode.failed);
        this.socket.resume();
      },
    );
  }

  private onStarted(program: GuestProgram): void {
    this.program = program;
    this.socket.resume();
    if (this.stage !== 'starting') {
      program.cancel();
      return;
    }
    this.stage = 'running';
    try {
      for (const act of this.early.splice(0)) act();
    } catch (error) {
      this.failWith(error, CloseCode.violation);
    }
  }

  /** Pausing does not hold back what was read already. */
  private whenRunning(act: (program: GuestProgram) => void): void {
    if (this.program !== undefined) act(this.program);
    else {
      this.early.push(() => {
        if (this.program !== undefined) act(this.program);
      });
    }
  }

  private countControl(): void {
    const now = performance.now();
    if (now - this.controlsSince > 1000) {
      this.controlsSince = now;
      this.controls = 0;
    }
    this.controls += 1;
    if (this.controls > CONTROLS_PER_SECOND) {
      this.fail(
        'invalid',
        `more than ${CONTROLS_PER_SECOND} messages without data in a second`,
        CloseCode.violation,
      );
    }
  }

  private failWith(error: unknown, code: number): void {
    if (error instanceof DomainError) this.fail(error.code, errorChain(error), code);
    else this.fail('internal', errorMessage(error), CloseCode.failed);
  }

  /** Tells the client why, and kills the program if there is one. */
  private fail(code: DomainErrorCode | 'refused', error: string, closeCode: number): void {
    if (this.stage === 'over') return;
    this.over();
    this.program?.cancel();
    this.say({ type: 'error', code, error });
    this.close(closeCode, error);
  }

  private say(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  private close(code: number, reason: string): void {
    this.socket.close(code, cutToBytes(reason, 123));
    this.closing ??= setTimeout(() => {
      this.socket.terminate();
    }, CLOSE_DEADLINE_MS);
  }

  private readonly onClose = (): void => {
    const wasOver = this.stage === 'over';
    this.over();
    clearTimeout(this.closing);
    if (!wasOver) this.program?.cancel();
  };

  private readonly checkAlive = (): void => {
    if (!this.alive) {
      this.socket.terminate();
      return;
    }
    this.alive = false;
    this.socket.ping();
  };

  private over(): void {
    this.stage = 'over';
    this.early = [];
    clearTimeout(this.startTimer);
    clearInterval(this.pings);
  }
}

function violation(text: string): DomainError {
  return new DomainError('invalid', text);
}

/** A close frame has room for so many bytes of text. */
function cutToBytes(text: string, bytes: number): string {
  let cut = text.slice(0, bytes);
  while (Buffer.byteLength(cut) > bytes) cut = cut.slice(0, -1);
  return cut;
}
