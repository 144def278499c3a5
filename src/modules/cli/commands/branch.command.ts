import { Command, Option } from 'nest-commander';
import type { Session } from '../session';
import { BRANCH_MODES, branchSandbox, type BranchMode } from './branch-sandbox';
import { argument, ForkdCommand, oneOf, sandboxId, snapshotTag } from './forkd.command';

interface BranchOptions {
  readonly tag?: string;
  readonly mode?: BranchMode;
  readonly measureDiff?: boolean;
  readonly wait: boolean;
  readonly parentTag?: string;
}

@Command({
  name: 'branch',
  arguments: '<id>',
  description:
    'Make a snapshot of a running sandbox, which runs on: forkd branch ID --tag checkpoint --mode diff',
})
export class BranchCommand extends ForkdCommand<BranchOptions> {
  @Option({
    flags: '-t, --tag <tag>',
    description: 'name of the snapshot; the daemon makes one up without it',
  })
  tag(text: string): string {
    return snapshotTag(text);
  }

  @Option({
    flags: '-m, --mode <mode>',
    description: 'full copies all memory in the pause, diff what changed since the fork, live pauses least',
  })
  mode(text: string): BranchMode {
    return oneOf(text, '--mode', BRANCH_MODES);
  }

  @Option({ flags: '--measure-diff', description: 'a full branch that tells what a diff would have taken' })
  measureDiff(): boolean {
    return true;
  }

  @Option({ flags: '--no-wait', description: 'with --mode live: return before the snapshot is complete' })
  wait(): boolean {
    return false;
  }

  @Option({
    flags: '-p, --parent-tag <tag>',
    description: "with --mode diff: store only what differs from this, the sandbox's own snapshot",
  })
  parentTag(text: string): string {
    return snapshotTag(text);
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    options: BranchOptions,
  ): Promise<void> {
    await branchSandbox(session, sandboxId(argument(args, 0, '<id>')), {
      ...options,
      measureDiff: options.measureDiff === true,
    });
  }
}
