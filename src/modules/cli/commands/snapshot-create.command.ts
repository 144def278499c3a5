import { SubCommand } from 'nest-commander';
import type { Session } from '../session';
import { argument, snapshotTag } from './forkd.command';
import { SnapshotBuildBase, type BuildOptions } from './snapshot-build.base';

@SubCommand({
  name: 'create',
  arguments: '<tag>',
  description:
    'Boot a parent VM, let it warm up, and keep it as a snapshot: forkd snapshot create py --image python',
})
export class SnapshotCreateCommand extends SnapshotBuildBase<BuildOptions> {
  protected override async execute(
    session: Session,
    args: readonly string[],
    options: BuildOptions,
  ): Promise<void> {
    await this.build(session, snapshotTag(argument(args, 0, '<tag>')), options);
  }
}
