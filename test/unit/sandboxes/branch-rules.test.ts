import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type BranchWish,
  generatedTag,
  planBranch,
  requireParent,
} from '../../../src/modules/sandboxes/domain/branch-rules';
import { isTag } from '../../../src/modules/snapshots/domain/tag';

const nothing: BranchWish = { mode: null, diff: false, live: false, measureDiff: false, wait: true };
const mode = (wish: Partial<BranchWish>): string => planBranch({ ...nothing, ...wish }).mode;

describe('planBranch', () => {
  it('takes the mode, or the older booleans, and full by default', () => {
    assert.equal(mode({}), 'full');
    assert.equal(mode({ diff: true }), 'diff');
    assert.equal(mode({ live: true }), 'live');
    for (const each of ['full', 'diff', 'live'] as const) assert.equal(mode({ mode: each }), each);
    assert.equal(mode({ mode: 'live', wait: false }), 'live');
    assert.equal(mode({ measureDiff: true }), 'full');
  });

  it('refuses contradictions', () => {
    const contradictions: Partial<BranchWish>[] = [
      { mode: 'full', diff: true },
      { mode: 'diff', live: true },
      { diff: true, live: true },
      { diff: true, measureDiff: true },
      { mode: 'live', measureDiff: true },
      { wait: false },
      { wait: false, mode: 'diff' },
    ];
    for (const wish of contradictions) {
      assert.throws(() => mode(wish), { name: 'DomainError', code: 'invalid' }, JSON.stringify(wish));
    }
  });
});

describe('requireParent', () => {
  it('names both tags when the parent is another than the source’s', () => {
    assert.throws(() => {
      requireParent('a', 'b', 'diff');
    }, /a.*b/);
    assert.throws(() => {
      requireParent('a', 'a', 'full');
    }, /parent_tag needs diff/);
    requireParent('a', 'a', 'diff');
    requireParent('a', 'a', 'live');
  });
});

describe('generatedTag', () => {
  it('is a valid tag for any id this daemon gives', () => {
    const tag = generatedTag('sb-6657e0c0-ffff0', 1_795_352_028, 0x1_0003);
    assert.equal(tag, 'branch-sb-6657e0c0-ffff0-1795352028-0003');
    assert.ok(isTag(tag));
  });
});
