import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { boundedSums, leadingKeys, OTHERS } from '../../../src/modules/metrics/domain/bounded';
import { deathCause } from '../../../src/modules/sandboxes/domain/death-cause';

describe('boundedSums', () => {
  it('adds up what shares a key', () => {
    const sums = boundedSums(
      [
        ['a', 1],
        ['b', 2],
        ['a', 3],
      ],
      2,
    );
    assert.deepEqual(
      [...sums],
      [
        ['a', 4],
        ['b', 2],
      ],
    );
  });

  it('keeps the largest, by name where they are equal, and nothing is lost of the rest', () => {
    const entries = Array.from({ length: 1000 }, (_, index): [string, number] => [
      `t${index % 100}`,
      index % 100,
    ]);
    const sums = boundedSums(entries, 3);
    assert.deepEqual([...sums.keys()], ['t99', 't98', 't97', OTHERS]);
    const total = [...sums.values()].reduce((sum, value) => sum + value, 0);
    assert.equal(
      total,
      entries.reduce((sum, [, value]) => sum + value, 0),
    );
    assert.deepEqual([...leadingKeys(['c', 'b', 'a', 'c'], 2)], ['c', 'a', OTHERS]);
  });
});

describe('deathCause', () => {
  it('tells how a process ended', () => {
    const cases: [code: number | null, signal: string | null, cause: string][] = [
      [0, null, 'exited'],
      [1, null, 'failed'],
      [null, 'SIGKILL', 'killed'],
      [null, 'SIGTERM', 'killed'],
      [null, 'SIGSEGV', 'crashed'],
      [null, 'SIGABRT', 'crashed'],
      [null, 'SIGBUS', 'no_space'],
      [null, null, 'unknown'],
    ];
    for (const [code, signal, cause] of cases) assert.equal(deathCause({ code, signal }), cause);
  });
});
