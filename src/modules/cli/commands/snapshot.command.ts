import { Command } from 'nest-commander';
import { GroupCommand } from './forkd.command';
import { SnapshotCompactCommand } from './snapshot-compact.command';
import { SnapshotCreateCommand } from './snapshot-create.command';
import { SnapshotInfoCommand } from './snapshot-info.command';
import { SnapshotLsCommand } from './snapshot-ls.command';
import { SnapshotMakeCommand } from './snapshot-make.command';
import { SnapshotRmCommand } from './snapshot-rm.command';

@Command({
  name: 'snapshot',
  description: 'Make, list, describe, compact and delete snapshots',
  subCommands: [
    SnapshotCreateCommand,
    SnapshotLsCommand,
    SnapshotInfoCommand,
    SnapshotCompactCommand,
    SnapshotRmCommand,
    SnapshotMakeCommand,
  ],
})
export class SnapshotCommand extends GroupCommand {}
