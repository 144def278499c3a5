/** Snapshots in the longest chain: a base and 32 diffs over it. */
export const MAX_LINKS = 33;

/** Which snapshot was stored on top of which: tag to parent tag. */
export type Lineage = ReadonlyMap<string, string>;

/** The snapshots stored directly on top of a tag, in byte order. */
export function dependentsOf(tag: string, lineage: Lineage): string[] {
  return [...lineage]
    .filter(([, parent]) => parent === tag)
    .map(([child]) => child)
    .sort();
}
