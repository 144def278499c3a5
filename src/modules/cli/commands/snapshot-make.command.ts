import { Option, SubCommand } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';
import { branchSandbox } from './branch-sandbox';
import { refuseGroup, sandboxId, snapshotTag } from './forkd.command';
import { SnapshotBuildBase, type BuildOptions } from './snapshot-build.base';

interface UpstreamOptions extends BuildOptions {
  readonly tag?: string;
  readonly fromSandbox?: string;
  readonly diff?: boolean;
  readonly live?: boolean;
  readonly wait: boolean;
}

/**
 * `forkd snapshot` with flags and no command, as upstream writes it: `snapshot --tag T --kernel K --rootfs R` and
 * `snapshot --from-sandbox ID --tag T`.
 */
@SubCommand({ name: 'make', arguments: '[word...]', options: { isDefault: true } })
export class SnapshotMakeCommand extends SnapshotBuildBase<UpstreamOptions> {
  @Option({ flags: '-t, --tag <tag>', description: 'name of the snapshot' })
  tag(text: string): string {
    return snapshotTag(text);
  }

  @Option({ flags: '--from-sandbox <id>', description: 'make it of this sandbox, as `forkd branch` does' })
  fromSandbox(text: string): string {
    return sandboxId(text);
  }

  @Option({ flags: '--diff', description: '`forkd branch --mode diff`' })
  diff(): boolean {
    return true;
  }

  @Option({ flags: '--live', description: '`forkd branch --mode live`' })
  live(): boolean {
    return true;
  }

  @Option({ flags: '--no-wait', description: 'with --live' })
  wait(): boolean {
    return false;
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    options: UpstreamOptions,
  ): Promise<void> {
    const { tag, fromSandbox, diff, live, wait } = options;
    const group = this.command.parent ?? this.command;
    if (args.length > 0) refuseGroup(group, args);
    if (fromSandbox !== undefined) {
      if (diff === true && live === true) {
        throw new CliError(ExitCode.usage, '--diff and --live exclude each other');
      }
      const mode = diff === true ? 'diff' : live === true ? 'live' : undefined;
      await branchSandbox(session, fromSandbox, { tag, mode, measureDiff: false, wait });
      return;
    }
    if (tag === undefined) refuseGroup(group, args);
    await this.build(session, tag, options);
  }
}
