import { Command } from 'nest-commander';
import { GroupCommand } from './forkd.command';
import { SnapshotCreateCommand } from './snapshot-create.command';
import { SnapshotLsCommand } from './snapshot-ls.command';
import { SnapshotRmCommand } from './snapshot-rm.command';

@Command({
  name: 'snapshot',
  description: 'Make, list and delete snapshots',
  subCommands: [SnapshotCreateCommand, SnapshotLsCommand, SnapshotRmCommand],
})
export class SnapshotCommand extends GroupCommand {}
