import { CliError, ExitCode, withHint } from '../errors';
import type { Session } from '../session';
import { didYouMean } from '../suggest';

/** Runs a request about a workspace; where the name is unknown, the error says which one may have been meant. */
export async function withWorkspaceHint<T>(
  session: Session,
  name: string,
  request: () => Promise<T>,
): Promise<T> {
  try {
    return await request();
  } catch (error) {
    const unknown = error instanceof CliError && error.exitCode === ExitCode.notFound;
    if (!unknown || !error.message.includes(`workspace ${name} not found`)) throw error;
    const known = await knownNames(session);
    if (known === undefined) throw error;
    const hint =
      didYouMean(name, known) ??
      (known.length === 0
        ? 'There are no workspaces yet: make one with `forkd workspace create`.'
        : '`forkd workspace ls` shows them.');
    throw withHint(error, hint);
  }
}

async function knownNames(session: Session): Promise<string[] | undefined> {
  try {
    const api = await session.api();
    return (await api.workspaces()).map((workspace) => workspace.name);
  } catch {
    // The hint is a courtesy; the error itself is already known.
    return undefined;
  }
}
