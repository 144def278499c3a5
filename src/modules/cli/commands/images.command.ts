import { Command } from 'nest-commander';
import type { Snapshot, SnapshotDetail } from '../api/types';
import { CliError } from '../errors';
import { bytes, orDash } from '../output/format';
import type { Column } from '../output/table';
import type { Session } from '../session';
import { ForkdCommand } from './forkd.command';
import { snapshotColumns } from './snapshot-columns';
import { snapshotDetails } from './snapshot-details';

type Sized = Snapshot & Partial<SnapshotDetail>;

const [tag, status, created, ...others] = snapshotColumns;
const columns: readonly Column<Sized>[] = [
  ...[tag, status, created].filter((column) => column !== undefined),
  { title: 'MEMORY', cell: (one) => size(one.memory_logical_bytes), align: 'right' },
  { title: 'ON DISK', cell: (one) => size(one.memory_physical_bytes), align: 'right' },
  { title: 'STORED ON', cell: (one) => orDash(one.parent_tag), minWidth: 9, optional: true },
  ...others,
];

@Command({
  name: 'images',
  description: 'List the snapshots with their sizes',
  options: { hidden: true },
})
export class UpstreamImagesCommand extends ForkdCommand {
  protected override async execute(session: Session): Promise<void> {
    const api = await session.api();
    const snapshots = await api.snapshots();
    const details = await snapshotDetails(api, snapshots);
    const rows = snapshots.map((snapshot): Sized => {
      const detail = details.get(snapshot.tag);
      return detail === undefined || detail instanceof CliError ? snapshot : { ...detail, ...snapshot };
    });
    session.output.rows(columns, rows, (one) => one.tag);
    if (!session.output.options.json) {
      session.output.note('These are snapshots; `forkd image ls` lists the images they are made of.');
    }
  }
}

function size(count: number | undefined): string {
  return count === undefined ? '-' : bytes(count);
}
