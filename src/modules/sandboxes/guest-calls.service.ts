import { Injectable } from '@nestjs/common';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import type { GuestAgent } from '../guest/guest-agent';
import { GuestError } from '../guest/guest-error';
import { type GuestCall, OperationMetrics } from '../metrics/operation-metrics';
import { requireExecRules } from './domain/spawn-rules';
import { SandboxesService } from './sandboxes.service';

export interface ExecAnswer {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit_code: number;
  /** Only there when output was cut. */
  readonly truncated?: true;
}

export interface EvalAnswer {
  readonly result: string | null;
  readonly error: string | null;
  readonly exit_code: number;
}

const PING_DEADLINE_MS = 5_000;
/** The wire's fixed limit of an eval. */
const EVAL_TIMEOUT_MS = 30_000;

/** What is asked of the guest inside a sandbox. */
@Injectable()
export class GuestCallsService {
  constructor(
    private readonly sandboxes: SandboxesService,
    private readonly metrics: OperationMetrics,
  ) {}

  /** The agent's own answer. @throws DomainError internal `ping: <cause>` while the guest does not answer. */
  ping(id: string): Promise<Record<string, unknown>> {
    return this.call(id, 'ping', (agent) => agent.ping(PING_DEADLINE_MS));
  }

  /** Runs a program without a shell. What the guest refuses or cuts short is told in `stderr`, with exit code 1. */
  exec(id: string, args: readonly string[], timeoutSecs: number, signal: AbortSignal): Promise<ExecAnswer> {
    this.sandboxes.get(id);
    requireExecRules(args, timeoutSecs);
    return this.call(id, 'exec', async (agent) => {
      try {
        const done = await agent.exec({ args, timeoutMs: timeoutSecs * 1000 }, { signal });
        const stderr = done.stderr.toString('utf8');
        const truncated = done.stdoutTruncated || done.stderrTruncated ? { truncated: true as const } : {};
        const stdout = done.stdout.toString('utf8');
        if (!done.timedOut) return { stdout, stderr, exit_code: done.exitCode, ...truncated };
        const reason = `killed: the program did not end within ${timeoutSecs} s (timeout_secs)`;
        return { stdout, stderr: withLine(stderr, reason), exit_code: 1, ...truncated };
      } catch (error) {
        if (error instanceof GuestError) return { stdout: '', stderr: `${error.message}\n`, exit_code: 1 };
        throw error;
      }
    });
  }

  /** Evaluates code in the guest's warm runtime; an exception of that code is an answer, not a failure. */
  eval(id: string, code: string, signal: AbortSignal): Promise<EvalAnswer> {
    this.sandboxes.get(id);
    return this.call(id, 'eval', async (agent) => {
      try {
        const { result, error, exitCode } = await agent.eval(code, { timeoutMs: EVAL_TIMEOUT_MS, signal });
        return { result, error, exit_code: exitCode };
      } catch (error) {
        if (error instanceof GuestError) return { result: null, error: error.message, exit_code: 1 };
        throw error;
      }
    });
  }

  private async call<T>(id: string, what: GuestCall, ask: (agent: GuestAgent) => Promise<T>): Promise<T> {
    const live = this.liveOf(id, what);
    try {
      return await this.metrics.timeCall(what, async () => ask(await live.link.agent()));
    } catch (error) {
      if (error instanceof DomainError && error.code !== 'internal') throw error;
      const reason = await this.sandboxes.reasonOfEnd(id, live);
      if (reason !== undefined) {
        throw new DomainError('internal', `${what}: the VM of ${id} has ended: ${reason}`, { cause: error });
      }
      throw new DomainError('internal', `${what}: ${errorMessage(error)}`, { cause: error });
    }
  }

  private liveOf(id: string, what: string): ReturnType<SandboxesService['vmOf']> {
    try {
      return this.sandboxes.vmOf(id);
    } catch (error) {
      if (error instanceof DomainError && error.code !== 'internal') throw error;
      throw new DomainError('internal', `${what}: ${errorMessage(error)}`, { cause: error });
    }
  }
}

function withLine(text: string, line: string): string {
  return `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${line}\n`;
}
