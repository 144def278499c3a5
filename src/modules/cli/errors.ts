/** The process's exit codes; `exec` and `eval` return the guest's own code instead of 0 and 1. */
export const ExitCode = {
  ok: 0,
  /** The daemon, the guest or this host failed at something. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** No daemon answers at the address. */
  unreachable: 3,
  notFound: 4,
  /** The thing exists already, or is in a state that forbids the request now. */
  conflict: 5,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** A failure the user is told about: what went wrong, what to do next, and the exit code. */
export class CliError extends Error {
  readonly hint: string | undefined;

  constructor(
    readonly exitCode: number,
    message: string,
    hint?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'CliError';
    this.hint = hint;
  }
}

/** The same failure with a better next step. */
export function withHint(error: CliError, hint: string): CliError {
  return new CliError(error.exitCode, error.message, hint, { cause: error });
}
