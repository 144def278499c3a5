import { CliError, ExitCode, withHint } from '../errors';
import type { Session } from '../session';
import { didYouMean } from '../suggest';

/** Runs a request about a tag; where the tag is unknown, the error says which one may have been meant. */
export async function withTagHint<T>(session: Session, tag: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (!(error instanceof CliError) || error.exitCode !== ExitCode.notFound) throw error;
    const known = await knownTags(session);
    if (known === undefined) throw error;
    const hint =
      didYouMean(tag, known) ??
      (known.length === 0
        ? 'There are no snapshots yet: make one with `forkd snapshot create`.'
        : `There are: ${known.slice(0, 8).join(', ')}${known.length > 8 ? ', ...' : ''}.`);
    throw withHint(error, hint);
  }
}

async function knownTags(session: Session): Promise<string[] | undefined> {
  try {
    const api = await session.api();
    return (await api.snapshots()).map((snapshot) => snapshot.tag);
  } catch {
    // The hint is a courtesy; the error itself is already known.
    return undefined;
  }
}
