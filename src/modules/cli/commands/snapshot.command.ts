import { Command } from 'nest-commander';
import { GroupCommand } from './forkd.command';
import { SnapshotCompactCommand } from './snapshot-compact.command';
import { SnapshotCreateCommand } from './snapshot-create.command';
import { SnapshotInfoCommand } from './snapshot-info.command';
import { SnapshotLsCommand } from './snapshot-ls.command';
import { SnapshotMakeCommand } from './snapshot-make.command';
import { SnapshotPackCommand } from './snapshot-pack.command';
import { SnapshotRmCommand } from './snapshot-rm.command';
import { SnapshotUnpackCommand } from './snapshot-unpack.command';

@Command({
  name: 'snapshot',
  description: 'Make, list, describe, compact, move and delete snapshots',
  subCommands: [
    SnapshotCreateCommand,
    SnapshotLsCommand,
    SnapshotInfoCommand,
    SnapshotCompactCommand,
    SnapshotPackCommand,
    SnapshotUnpackCommand,
    SnapshotRmCommand,
    SnapshotMakeCommand,
  ],
})
export class SnapshotCommand extends GroupCommand {}
