import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Extent, shareOf } from '../../../src/modules/memory/domain/copy-plan';

const chunksOf = (runs: readonly Extent[]): number[] =>
  runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, index) => first + index));

describe('a copy that several share', () => {
  it('is of every chunk that is no hole, once, in runs of the given length, and about the same for each', () => {
    const images = fc.array(fc.boolean(), { maxLength: 300 });
    fc.assert(
      fc.property(
        images,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 4 }),
        (holes, maxRun, parts) => {
          const plan = { chunks: holes.length, isHole: (chunk: number) => holes[chunk] === true, maxRun };
          const shares = Array.from({ length: parts }, (_, part) => shareOf({ ...plan, part, parts }));
          const data = [...holes.keys()].filter((chunk) => holes[chunk] === false);
          assert.deepEqual(
            shares.flatMap(chunksOf).sort((one, other) => one - other),
            data,
          );
          for (const share of shares) {
            assert.ok(share.every(({ count }) => count <= maxRun));
            assert.ok(Math.abs(chunksOf(share).length - data.length / parts) <= maxRun + 1);
          }
        },
      ),
    );
  });
});
