import { CliError, ExitCode } from '../errors';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs work that a signal ends in good order: what it made so far is removed, and the exit code is the usual one. */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const stop = (): void => {
    abort.abort(new CliError(ExitCode.failed, 'interrupted'));
  };
  for (const name of SIGNALS) process.once(name, stop);
  try {
    return await work(abort.signal);
  } finally {
    for (const name of SIGNALS) process.off(name, stop);
  }
}
