import { SubCommand } from 'nest-commander';
import type { Session } from '../session';
import { ForkdCommand } from './forkd.command';
import { snapshotColumns } from './snapshot-columns';

@SubCommand({ name: 'ls', aliases: ['list'], description: 'List the snapshots' })
export class SnapshotLsCommand extends ForkdCommand {
  protected override async execute(session: Session): Promise<void> {
    const api = await session.api();
    const snapshots = await api.snapshots();
    session.output.rows(snapshotColumns, snapshots, (snapshot) => snapshot.tag);
    if (snapshots.length === 0 && !session.output.options.json) {
      session.output.note('No snapshots. `forkd snapshot create python --image python` makes one.');
    }
  }
}
