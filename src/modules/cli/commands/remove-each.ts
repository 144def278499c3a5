import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';

/** Removes things in parallel, prints the name of each that is gone, and fails with the first failure's code. */
export async function removeEach(
  session: Session,
  names: readonly string[],
  remove: (name: string) => Promise<void>,
): Promise<void> {
  const { output } = session;
  const results = await output.during(`deleting ${names.length}`, () =>
    Promise.allSettled(names.map((name) => remove(name))),
  );
  const removed = names.filter((_, index) => results[index]?.status === 'fulfilled');
  const failures = results.flatMap((result) =>
    result.status === 'rejected' ? [asCliError(result.reason)] : [],
  );
  if (output.options.json) output.json({ removed, errors: failures.map((failure) => failure.message) });
  else for (const name of removed) output.line(name);
  const [first, ...others] = failures;
  if (first === undefined) return;
  for (const failure of others) output.error(failure.message);
  throw first;
}

function asCliError(reason: unknown): CliError {
  if (reason instanceof CliError) return reason;
  return new CliError(ExitCode.failed, reason instanceof Error ? reason.message : String(reason));
}
