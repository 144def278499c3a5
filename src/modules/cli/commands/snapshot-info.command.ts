import { Command, SubCommand } from 'nest-commander';
import { age, bytes, orDash } from '../output/format';
import type { Session } from '../session';
import { argument, ForkdCommand, snapshotTag } from './forkd.command';
import { withTagHint } from './tag-hint';

abstract class SnapshotInfo extends ForkdCommand {
  protected override async execute(session: Session, args: readonly string[]): Promise<void> {
    const tag = snapshotTag(argument(args, 0, '<tag>'));
    const api = await session.api();
    const detail = await withTagHint(session, tag, () => api.snapshotDetail(tag));
    const { output } = session;
    if (output.options.json) {
      output.json(detail);
      return;
    }
    const created = detail.created_at_unix;
    output.fields([
      ['tag', detail.tag],
      [
        'created',
        created === undefined ? '-' : `${new Date(created * 1000).toISOString()} (${age(created)} ago)`,
      ],
      ['memory', `${bytes(detail.memory_logical_bytes)}, ${bytes(detail.memory_physical_bytes)} on disk`],
      ['device state', bytes(detail.vmstate_bytes)],
      ['stored on', orDash(detail.parent_tag)],
      ['chain', [...detail.ancestors, detail.tag].join(' > ')],
      ['dependents', orDash(detail.dependents.join(', '))],
      ['directory', detail.dir],
    ]);
  }
}

@SubCommand({
  name: 'info',
  arguments: '<tag>',
  description: 'Show the sizes of a snapshot, and what it is stored on',
})
export class SnapshotInfoCommand extends SnapshotInfo {}

@Command({
  name: 'snapshot-info',
  arguments: '<tag>',
  description: '`forkd snapshot info`',
  options: { hidden: true },
})
export class UpstreamSnapshotInfoCommand extends SnapshotInfo {}
