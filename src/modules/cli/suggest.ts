/** Edits (insert, delete, replace, swap of neighbours) between two words. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1];
      let best = Math.min(
        at(last, column) + 1,
        at(current, column - 1) + 1,
        at(last, column - 1) + (same ? 0 : 1),
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        best = Math.min(best, at(beforeLast, column - 2) + 1);
      }
      current.push(best);
    }
    beforeLast = last;
    last = current;
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}

/** Those of the known words that the user may have meant, nearest first, at most three. */
export function suggest(word: string, known: readonly string[]): string[] {
  const limit = Math.max(1, Math.floor(word.length * 0.4));
  const lower = word.toLowerCase();
  return known
    .map((name) => {
      const candidate = name.toLowerCase();
      const distance = candidate.startsWith(lower) && lower.length > 1 ? 0.5 : editDistance(lower, candidate);
      return { name, distance };
    })
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance || a.name.localeCompare(b.name))
    .slice(0, 3)
    .map(({ name }) => name);
}

/** "Did you mean python?", or undefined when nothing is near. */
export function didYouMean(word: string, known: readonly string[]): string | undefined {
  const names = suggest(word, known);
  if (names.length === 0) return undefined;
  const last = names.pop() ?? '';
  return names.length === 0 ? `Did you mean ${last}?` : `Did you mean ${names.join(', ')} or ${last}?`;
}
