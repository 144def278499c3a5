import { Command, Option, SubCommand } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import { duration } from '../output/format';
import type { Session } from '../session';
import { argument, ForkdCommand, snapshotTag } from './forkd.command';
import { snapshotColumns } from './snapshot-columns';
import { withTagHint } from './tag-hint';

interface CompactOptions {
  readonly to: string;
}

abstract class SnapshotCompact<Options extends CompactOptions> extends ForkdCommand<Options> {
  @Option({ flags: '--to <tag>', description: 'name of the new snapshot', required: true })
  to(text: string): string {
    return snapshotTag(text);
  }

  protected async compact(session: Session, tag: string, to: string): Promise<void> {
    if (tag === to) {
      throw new CliError(ExitCode.usage, '--to must be another tag', `For example: --to ${tag}-flat`);
    }
    const api = await session.api();
    const started = performance.now();
    const made = await session.output.during(`compacting ${tag}`, () =>
      withTagHint(session, tag, () => api.compact(tag, to)),
    );
    const { output } = session;
    if (output.options.json) {
      output.json(made);
      return;
    }
    output.rows(snapshotColumns, [made], (one) => one.tag);
    output.note(`made in ${duration(performance.now() - started)}; ${tag} is as it was`);
  }
}

@SubCommand({
  name: 'compact',
  arguments: '<tag>',
  description: 'Make a snapshot that stands on its own of one that is stored on others',
})
export class SnapshotCompactCommand extends SnapshotCompact<CompactOptions> {
  protected override async execute(
    session: Session,
    args: readonly string[],
    { to }: CompactOptions,
  ): Promise<void> {
    await this.compact(session, snapshotTag(argument(args, 0, '<tag>')), to);
  }
}

interface UpstreamOptions extends CompactOptions {
  readonly from: string;
}

@Command({ name: 'snapshot-compact', description: '`forkd snapshot compact`', options: { hidden: true } })
export class UpstreamSnapshotCompactCommand extends SnapshotCompact<UpstreamOptions> {
  @Option({ flags: '--from <tag>', description: 'the snapshot', required: true })
  from(text: string): string {
    return snapshotTag(text);
  }

  protected override async execute(
    session: Session,
    _args: readonly string[],
    { from, to }: UpstreamOptions,
  ): Promise<void> {
    await this.compact(session, from, to);
  }
}
