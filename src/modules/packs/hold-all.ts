import type { SnapshotOpenerService } from '../snapshots/snapshot-opener.service';

/**
 * Runs `work` while none of the snapshots is deleted.
 *
 * @param tags a chain, root first: the order in which a deletion of all of it goes, so that the two never wait for each other.
 */
export function holdAll<T>(
  opener: SnapshotOpenerService,
  tags: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  const [first, ...rest] = tags;
  if (first === undefined) return work();
  return opener.hold(first, () => holdAll(opener, rest, work));
}
