import { DomainError } from '../../../common/errors/domain-error';

export const BRANCH_MODES = ['full', 'diff', 'live'] as const;
export type BranchMode = (typeof BRANCH_MODES)[number];

/** What a client asked for, with upstream's older booleans. */
export interface BranchWish {
  readonly mode: BranchMode | null;
  readonly diff: boolean;
  readonly live: boolean;
  readonly measureDiff: boolean;
  readonly wait: boolean;
}

export interface BranchPlan {
  readonly mode: BranchMode;
  readonly measureDiff: boolean;
  readonly wait: boolean;
}

/** @throws DomainError invalid for wishes that contradict each other. */
export function planBranch(wish: BranchWish): BranchPlan {
  const { mode, diff, live, measureDiff, wait } = wish;
  if (mode !== null && (diff || live)) {
    throw new DomainError('invalid', '`mode` cannot be combined with `diff` or `live`; give `mode` alone');
  }
  const effective: BranchMode = mode ?? (live ? 'live' : diff ? 'diff' : 'full');
  if ((diff && live) || (measureDiff && effective !== 'full')) {
    throw new DomainError('invalid', 'at most one of `measure_diff`, `diff` and `live` may be in effect');
  }
  if (!wait && effective !== 'live') {
    throw new DomainError(
      'invalid',
      '`wait: false` needs `mode: "live"`; the other modes answer when they are done',
    );
  }
  return { mode: effective, measureDiff, wait };
}

/** `branch-<sandbox id>-<unix seconds>-<counter, 4 hex digits>` */
export function generatedTag(sandboxId: string, unixSeconds: number, counter: number): string {
  return `branch-${sandboxId}-${unixSeconds}-${(counter & 0xffff).toString(16).padStart(4, '0')}`;
}

/** @throws DomainError invalid unless the parent is what the sandbox was forked from, and a diff is stored. */
export function requireParent(parentTag: string, sourceTag: string, mode: BranchMode): void {
  if (parentTag !== sourceTag) {
    throw new DomainError(
      'invalid',
      `parent_tag is ${parentTag}, but the sandbox was forked from ${sourceTag}; only that can be its parent`,
    );
  }
  if (mode === 'full') {
    throw new DomainError(
      'invalid',
      'parent_tag needs diff: give `mode: "diff"`, as only what differs from the parent is stored',
    );
  }
}
