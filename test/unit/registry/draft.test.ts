import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { changesOf } from '../../../src/modules/registry/domain/draft';
import type { RegistryState, SnapshotRecord } from '../../../src/modules/registry/domain/records';

const snapshot = (tag: string): SnapshotRecord => ({
  tag,
  dir: `/s/${tag}`,
  created_at_unix: 1,
  status: 'ready',
  bootable: true,
});

function stateWith(...tags: string[]): RegistryState {
  return {
    snapshots: new Map(tags.map((tag) => [tag, Object.freeze(snapshot(tag))])),
    sandboxes: new Map(),
    workspaces: new Map(),
  };
}

describe('a draft', () => {
  it('behaves as the map it stands for', () => {
    const state = stateWith('a', 'b', 'c');
    changesOf(state, ({ snapshots }) => {
      snapshots.set('d', snapshot('d'));
      assert.equal(snapshots.delete('b'), true);
      assert.equal(snapshots.delete('b'), false);
      assert.equal(snapshots.size, 3);
      assert.deepEqual([...snapshots.keys()], ['a', 'c', 'd']);
      assert.deepEqual(
        [...snapshots.values()].map(({ tag }) => tag),
        ['a', 'c', 'd'],
      );
      assert.deepEqual(
        [...snapshots].map(([key]) => key),
        ['a', 'c', 'd'],
      );
      const seen: string[] = [];
      snapshots.forEach((_, key) => seen.push(key));
      assert.deepEqual(seen, ['a', 'c', 'd']);
      assert.deepEqual(
        [snapshots.has('b'), snapshots.get('b'), snapshots.has('d')],
        [false, undefined, true],
      );
      snapshots.set('b', snapshot('b'));
      assert.equal(snapshots.size, 4);
      snapshots.clear();
      assert.deepEqual([snapshots.size, [...snapshots.keys()]], [0, []]);
    });
  });

  it('leaves the state alone and tells what changed', () => {
    const state = stateWith('a', 'b', 'c');
    const changes = changesOf(state, ({ snapshots }) => {
      const record = snapshots.get('a');
      assert.ok(record);
      record.status = 'failed';
      snapshots.delete('b');
      snapshots.get('c');
      snapshots.delete('absent');
    });
    assert.deepEqual(state, stateWith('a', 'b', 'c'));
    assert.deepEqual(
      changes.map(({ key, after }) => [key, after]),
      [
        ['a', { ...snapshot('a'), status: 'failed' }],
        ['b', undefined],
      ],
    );
  });

  it('notices a member that is gone', () => {
    const state = stateWith('a');
    state.snapshots.set('a', { ...snapshot('a'), warning: 'x' });
    const changes = changesOf(state, ({ snapshots }) => {
      delete snapshots.get('a')?.warning;
    });
    assert.deepEqual(changes[0]?.after, snapshot('a'));
  });
});
