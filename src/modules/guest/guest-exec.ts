import { DomainError } from '../../common/errors/domain-error';
import { Channel } from './domain/frame';
import { OutputBuffer } from './domain/output-buffer';
import { EvalResult, ExecRequest, ExecResult } from './guest-agent.types';
import { readEvalResult, readExecStatus } from './guest-messages';
import { RequestSpec } from './guest-request';

/** Most bytes of each of stdout and stderr that the guest sends, and how many it sends when not told. */
export const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
/** Milliseconds past its own time limit after which a request counts as unanswered. */
export const ANSWER_GRACE_MS = 5000;
/** The longest time limit a timer can hold, in milliseconds: 24.8 days. */
export const MAX_TIMEOUT_MS = 0x7fff_ffff - ANSWER_GRACE_MS;

export interface EvalOptions {
  /** The guest interrupts the code after this time. */
  readonly timeoutMs: number;
  /** One of the hello's `runtimes`; the guest's default without it. */
  readonly runtime?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Throws DomainError `invalid` when the request cannot be put to any guest. */
export function execSpec(request: ExecRequest, signal: AbortSignal | undefined): RequestSpec<ExecResult> {
  const outputLimit = request.outputLimit ?? MAX_OUTPUT_BYTES;
  if (request.args.length === 0)
    throw new DomainError('invalid', 'args is empty; its first member names the program');
  if (!Number.isInteger(outputLimit) || outputLimit < 0 || outputLimit > MAX_OUTPUT_BYTES) {
    throw new DomainError(
      'invalid',
      `the output limit must be 0 to ${MAX_OUTPUT_BYTES} bytes, not ${outputLimit}`,
    );
  }
  checkTimeout(request.timeoutMs);
  const stdout = new OutputBuffer();
  const stderr = new OutputBuffer();
  return {
    method: 'exec',
    params: {
      args: request.args,
      env: request.env,
      cwd: request.cwd,
      user: request.user,
      timeout_ms: request.timeoutMs,
      stdin: request.stdin === undefined ? undefined : true,
      output_limit: request.outputLimit,
    },
    ...(request.stdin !== undefined && { stdin: request.stdin }),
    outputLimit,
    onOutput: (channel, payload) => {
      (channel === Channel.stdout ? stdout : stderr).append(payload);
    },
    read: (result) => ({ stdout: stdout.take(), stderr: stderr.take(), ...readExecStatus(result) }),
    deadlineMs: request.timeoutMs + ANSWER_GRACE_MS,
    signal,
  };
}

/** Throws DomainError `invalid` when the time limit is not one. */
export function evalSpec(code: string, options: EvalOptions): RequestSpec<EvalResult> {
  checkTimeout(options.timeoutMs);
  return {
    method: 'eval',
    params: { code, timeout_ms: options.timeoutMs, runtime: options.runtime },
    read: readEvalResult,
    deadlineMs: options.timeoutMs + ANSWER_GRACE_MS,
    signal: options.signal,
  };
}

/** Throws DomainError `invalid` when it is no time limit in milliseconds. */
export function checkTimeout(timeoutMs: number): void {
  if (Number.isInteger(timeoutMs) && timeoutMs >= 0 && timeoutMs <= MAX_TIMEOUT_MS) return;
  throw new DomainError('invalid', `the time limit must be 0 to ${MAX_TIMEOUT_MS} ms, not ${timeoutMs}`);
}
