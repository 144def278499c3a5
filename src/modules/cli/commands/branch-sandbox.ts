import type { BranchRequest } from '../api/types';
import { CliError, ExitCode } from '../errors';
import { bytes, duration } from '../output/format';
import type { Session } from '../session';
import { snapshotColumns } from './snapshot-columns';

export const BRANCH_MODES = ['full', 'diff', 'live'] as const;
export type BranchMode = (typeof BRANCH_MODES)[number];

/** What a person asked for; the mode is the daemon's choice when it is absent. */
export interface BranchWish {
  readonly tag?: string | undefined;
  readonly mode?: BranchMode | undefined;
  readonly measureDiff: boolean;
  readonly wait: boolean;
  readonly parentTag?: string | undefined;
}

/** Makes a snapshot of a running sandbox and prints it. */
export async function branchSandbox(session: Session, id: string, wish: BranchWish): Promise<void> {
  const body = request(wish);
  const api = await session.api();
  const started = performance.now();
  const snapshot = await session.output.during(`branching ${id}`, () => api.branch(id, body));
  const { output } = session;
  if (output.options.json) {
    output.json(snapshot);
    return;
  }
  output.rows(snapshotColumns, [snapshot], (one) => one.tag);
  if (snapshot.status === 'writing') {
    output.note(`${snapshot.tag} is being written; \`forkd snapshot ls\` tells when it is ready.`);
    return;
  }
  const paused = snapshot.pause_ms === undefined ? '' : `, ${id} paused for ${duration(snapshot.pause_ms)}`;
  const differed =
    snapshot.diff_physical_bytes === undefined ? '' : `, ${bytes(snapshot.diff_physical_bytes)} differed`;
  output.note(`made in ${duration(performance.now() - started)}${paused}${differed}`);
  output.note(`fork it: forkd fork --tag ${snapshot.tag} -n 2`);
}

/** The request, refused here where the daemon would refuse it whatever the sandbox. */
function request({ tag, mode, measureDiff, wait, parentTag }: BranchWish): BranchRequest {
  if (!wait && mode !== 'live') {
    throw new CliError(ExitCode.usage, '--no-wait goes with --mode live only', 'Leave one of them out.');
  }
  if (measureDiff && mode !== undefined && mode !== 'full') {
    throw new CliError(
      ExitCode.usage,
      `--measure-diff goes with --mode full, not ${mode}`,
      `Leave it out: --mode ${mode} tells the same figures.`,
    );
  }
  if (parentTag !== undefined && (mode === undefined || mode === 'full')) {
    throw new CliError(ExitCode.usage, '--parent-tag stores a difference, so it needs --mode diff');
  }
  return {
    ...(tag === undefined ? {} : { tag }),
    ...(mode === undefined ? {} : { mode }),
    ...(measureDiff ? { measure_diff: true } : {}),
    ...(wait ? {} : { wait: false }),
    ...(parentTag === undefined ? {} : { parent_tag: parentTag }),
  };
}
