import type { ApiClient } from '../api/client';
import type { Snapshot, SnapshotDetail } from '../api/types';
import { CliError, ExitCode } from '../errors';

/** What is known about each snapshot beyond the list; the text of the error for one whose chain is broken. */
export async function snapshotDetails(
  api: ApiClient,
  snapshots: readonly Snapshot[],
): Promise<Map<string, SnapshotDetail | CliError>> {
  const found = await Promise.all(
    snapshots.map(async ({ tag }): Promise<[string, SnapshotDetail | CliError]> => {
      try {
        return [tag, await api.snapshotDetail(tag)];
      } catch (error) {
        // One that is broken, being written or just deleted must not hide the others.
        if (error instanceof CliError && error.exitCode !== ExitCode.unreachable) return [tag, error];
        throw error;
      }
    }),
  );
  return new Map(found);
}
