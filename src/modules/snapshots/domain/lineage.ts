/** Which snapshot was stored on top of which: tag to parent tag. */
export type Lineage = ReadonlyMap<string, string>;

/** The snapshots stored directly on top of a tag, in byte order. */
export function dependentsOf(tag: string, lineage: Lineage): string[] {
  return [...lineage]
    .filter(([, parent]) => parent === tag)
    .map(([child]) => child)
    .sort();
}

/** The tag and everything stored on top of it, leaves first; a cycle is walked once. */
export function subtreeLeavesFirst(tag: string, lineage: Lineage): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const walk = (current: string): void => {
    if (seen.has(current)) return;
    seen.add(current);
    for (const child of dependentsOf(current, lineage)) walk(child);
    order.push(current);
  };
  walk(tag);
  return order;
}
