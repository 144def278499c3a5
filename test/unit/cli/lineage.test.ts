import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Sandbox, Snapshot } from '../../../src/modules/cli/api/types';
import { drawLineage } from '../../../src/modules/cli/lineage/draw';
import { lineage, type SnapshotWithParent } from '../../../src/modules/cli/lineage/lineage';

const NOW = 1000;

function snapshot(
  tag: string,
  at: number,
  more: Partial<Snapshot> & { parentTag?: string } = {},
): SnapshotWithParent {
  const { parentTag, ...fields } = more;
  return {
    snapshot: { tag, dir: `/s/${tag}`, created_at_unix: at, status: 'ready', bootable: true, ...fields },
    ...(parentTag === undefined ? {} : { parentTag }),
  };
}

function sandbox(id: string, tag: string, at: number, more: Partial<Sandbox> = {}): Sandbox {
  return {
    id,
    snapshot_tag: tag,
    netns: null,
    guest_addr: '',
    created_at_unix: at,
    pid: 7,
    memory_limit_mib: null,
    has_branched: false,
    last_branch_memory_path: null,
    branch_count: 0,
    ...more,
  };
}

function drawn(snapshots: SnapshotWithParent[], sandboxes: Sandbox[], width?: number): string[] {
  return drawLineage(lineage(snapshots, sandboxes), width, NOW);
}

describe('the lineage', () => {
  it('hangs sandboxes below snapshots, and branches below sandboxes, over generations', () => {
    const lines = drawn(
      [
        snapshot('b', 960, { branched_from: 'sb-2', parentTag: 'a' }),
        snapshot('a', 940, { branched_from: 'sb-1' }),
        snapshot('py', 900),
      ],
      [sandbox('sb-2', 'a', 950), sandbox('sb-1', 'py', 930), sandbox('sb-0', 'py', 920)],
    );
    assert.deepEqual(lines, [
      'py  ready, 1m',
      '├─ sb-0  sandbox, pid 7, 1m',
      '└─ sb-1  sandbox, pid 7, 1m',
      '   └─ a  ready, 1m',
      '      └─ sb-2  sandbox, pid 7, 50s',
      '         └─ b  ready, 40s, stored on a',
    ]);
  });

  it('hangs a branch whose sandbox is gone below what it is stored on, else makes it a root', () => {
    assert.deepEqual(
      drawn(
        [
          snapshot('py', 900),
          snapshot('on', 950, { branched_from: 'sb-x', parentTag: 'py' }),
          snapshot('alone', 960, { branched_from: 'sb-x' }),
          snapshot('flat', 970, { branched_from: 'compact:on' }),
        ],
        [],
      ),
      [
        'py  ready, 1m',
        '└─ on  ready, 50s, branched from sb-x (gone), stored on py',
        '   └─ flat  ready, 30s, compacted from on',
        'alone  ready, 40s, branched from sb-x (gone)',
      ],
    );
  });

  it('shows a deleted snapshot that sandboxes still stem from, also when its tag was given anew', () => {
    assert.deepEqual(drawn([], [sandbox('sb-1', 'py', 990)]), [
      'py  deleted',
      '└─ sb-1  sandbox, pid 7, 10s',
    ]);
    assert.deepEqual(drawn([snapshot('py', 995, { branched_from: 'sb-1' })], [sandbox('sb-1', 'py', 990)]), [
      'py  deleted',
      '└─ sb-1  sandbox, pid 7, 10s',
      '   └─ py  ready, 5s',
    ]);
  });

  it('ends where what it reads goes round in a circle, and loses nothing', () => {
    const names = drawn(
      [
        snapshot('a', 990, { parentTag: 'b' }),
        snapshot('b', 990, { parentTag: 'a' }),
        snapshot('c', 990, { branched_from: 'sb-c' }),
        snapshot('self', 990, { parentTag: 'self' }),
      ],
      [sandbox('sb-c', 'c', 990)],
    ).map((line) => line.replace(/^[^a-z]*/, '').split(' ')[0]);
    assert.deepEqual(names.sort(), ['a', 'b', 'c', 'sb-c', 'self']);
  });

  it('tells a dead sandbox from a running one', () => {
    const [, line] = drawn(
      [snapshot('py', 900)],
      [sandbox('sb-1', 'py', 990, { pid: null, status: 'dead' })],
    );
    assert.equal(line, '└─ sb-1  sandbox, dead, 10s');
  });

  it('fits the terminal, and passes no control characters on', () => {
    const one = { ...snapshot('py', 900), problem: 'a\u001b[2Jb' };
    const all = [one, snapshot('long', 950, { branched_from: 'sb-x', parentTag: 'py' })];
    for (let width = 10; width < 80; width += 1) {
      for (const line of drawn(all, [], width)) assert.ok(line.length <= width);
    }
    assert.equal(drawn(all, []).join('').includes('\u001b'), false);
  });
});
