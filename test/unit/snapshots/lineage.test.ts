import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dependentsOf, subtreeLeavesFirst } from '../../../src/modules/snapshots/domain/lineage';

const lineage = new Map([
  ['b', 'a'],
  ['c', 'a'],
  ['d', 'b'],
]);

describe('lineage', () => {
  it('lists direct dependents in byte order', () => {
    assert.deepEqual(dependentsOf('a', lineage), ['b', 'c']);
    assert.deepEqual(dependentsOf('d', lineage), []);
  });

  it('walks a subtree leaves first', () => {
    assert.deepEqual(subtreeLeavesFirst('a', lineage), ['d', 'b', 'c', 'a']);
  });

  it('ends on a cycle', () => {
    const cycle = new Map([
      ['a', 'b'],
      ['b', 'a'],
    ]);
    assert.deepEqual(subtreeLeavesFirst('a', cycle), ['b', 'a']);
  });
});
