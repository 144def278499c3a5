/** Label value for all that has no series of its own; no tag has this spelling. */
export const OTHERS = '(others)';

/**
 * Adds up what shares a key, and what is past the limit under {@link OTHERS}: a label whose values clients invent must not
 * grow without end.
 *
 * @param entries values by key, in any order; keys may repeat.
 * @param limit how many keys keep a name of their own: those with the largest values, then by name.
 */
export function boundedSums(
  entries: Iterable<readonly [key: string, value: number]>,
  limit: number,
): Map<string, number> {
  const sums = new Map<string, number>();
  for (const [key, value] of entries) sums.set(key, (sums.get(key) ?? 0) + value);
  if (sums.size <= limit) return sums;
  const ranked = [...sums].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  const rest = ranked.slice(limit).reduce((sum, [, value]) => sum + value, 0);
  return new Map([...ranked.slice(0, limit), [OTHERS, rest]]);
}

/** The keys that keep their names when these are counted; see {@link boundedSums}. */
export function leadingKeys(keys: Iterable<string>, limit: number): ReadonlySet<string> {
  const ones = function* (): Iterable<readonly [string, number]> {
    for (const key of keys) yield [key, 1];
  };
  return new Set(boundedSums(ones(), limit).keys());
}
