/** Neighbouring chunks of an image. */
export interface Extent {
  readonly first: number;
  readonly count: number;
}

interface CopyPlan {
  readonly chunks: number;
  readonly isHole: (chunk: number) => boolean;
  /** A longer run is cut. */
  readonly maxRun: number;
  readonly part: number;
  readonly parts: number;
}

/** What one of several has to copy: all parts together are every chunk that is no hole, once, and none has much more than another. */
export function shareOf({ chunks, isHole, maxRun, part, parts }: CopyPlan): Extent[] {
  const runs: Extent[] = [];
  let data = 0;
  for (let first = 0; first < chunks;) {
    if (isHole(first)) {
      first++;
      continue;
    }
    let count = 1;
    while (first + count < chunks && count < maxRun && !isHole(first + count)) count++;
    runs.push({ first, count });
    data += count;
    first += count;
  }
  let before = 0;
  return runs.filter(({ count }) => {
    const mine = Math.min(parts - 1, Math.floor((before * parts) / data)) === part;
    before += count;
    return mine;
  });
}
