/** What the guest says of itself at connect. */
export interface AgentHello {
  readonly protocol: number;
  readonly agent: string;
  readonly capabilities: readonly string[];
  readonly runtimes: readonly string[];
}

export interface GuestIdentity {
  /** 32 to 512 fresh random bytes. */
  readonly entropy: Buffer;
  readonly hostname: string;
}

export interface ExecRequest {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly user?: string;
  readonly timeoutMs: number;
  /** Bytes of each of stdout and stderr that are kept; the rest is dropped and flagged. */
  readonly outputLimit?: number;
  /** Written to the program's standard input, which is /dev/null without it. */
  readonly stdin?: Buffer;
}

export interface ExecResult {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Minus the signal's number when a signal ended the program. */
  readonly exitCode: number;
  readonly signal?: string;
  readonly timedOut: boolean;
  readonly stdoutTruncated: boolean;
  readonly stderrTruncated: boolean;
}

export interface EvalResult {
  /** Python repr of the last expression; null after a statement or an exception. */
  readonly result: string | null;
  /** "Type: message" of an exception, or null. */
  readonly error: string | null;
  readonly traceback?: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}
