import { Command, Option, SubCommand } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';
import { ForkdCommand, snapshotTag } from './forkd.command';
import { removeEach } from './remove-each';
import { withTagHint } from './tag-hint';

interface SnapshotRmOptions {
  readonly cascade?: boolean;
  readonly force?: boolean;
}

abstract class SnapshotRemoval extends ForkdCommand<SnapshotRmOptions> {
  @Option({ flags: '--cascade', description: 'delete the snapshots that depend on it as well' })
  cascade(): boolean {
    return true;
  }

  @Option({ flags: '--force', description: 'delete it although others depend on it' })
  force(): boolean {
    return true;
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    options: SnapshotRmOptions,
  ): Promise<void> {
    if (options.cascade === true && options.force === true) {
      throw new CliError(ExitCode.usage, '--cascade and --force exclude each other');
    }
    const tags = [...new Set(args)].map(snapshotTag);
    const api = await session.api();
    await removeEach(session, tags, (tag) =>
      withTagHint(session, tag, () => api.deleteSnapshot(tag, options)),
    );
  }
}

@SubCommand({ name: 'rm', arguments: '<tag...>', description: 'Delete snapshots; running children stay' })
export class SnapshotRmCommand extends SnapshotRemoval {}

@Command({
  name: 'rmi',
  arguments: '<tag...>',
  description: '`forkd snapshot rm`',
  options: { hidden: true },
})
export class UpstreamRmiCommand extends SnapshotRemoval {}
