import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dependentsOf } from '../../../src/modules/snapshots/domain/lineage';

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
});
