import { Injectable, Module } from '@nestjs/common';
import { InjectCommander, type CommandRunner } from 'nest-commander';
import { EvalCommand } from './commands/eval.command';
import { ExecCommand } from './commands/exec.command';
import { ForkCommand } from './commands/fork.command';
import { ImageBuildCommand } from './commands/image-build.command';
import { ImageLsCommand } from './commands/image-ls.command';
import { ImageRmCommand } from './commands/image-rm.command';
import { ImageCommand } from './commands/image.command';
import { InfoCommand } from './commands/info.command';
import { LsCommand } from './commands/ls.command';
import { PingCommand } from './commands/ping.command';
import { QuickstartCommand } from './commands/quickstart.command';
import { RmCommand } from './commands/rm.command';
import { SnapshotCreateCommand } from './commands/snapshot-create.command';
import { SnapshotLsCommand } from './commands/snapshot-ls.command';
import { SnapshotRmCommand } from './commands/snapshot-rm.command';
import { SnapshotCommand } from './commands/snapshot.command';
import { StatusCommand } from './commands/status.command';
import { VersionCommand } from './commands/version.command';

/** The root of the command line, where flags for all commands are declared. */
@Injectable()
export class ProgramRoot {
  constructor(@InjectCommander() readonly command: Parameters<CommandRunner['setCommand']>[0]) {}
}

@Module({
  providers: [
    ProgramRoot,
    SnapshotCommand,
    SnapshotCreateCommand,
    SnapshotLsCommand,
    SnapshotRmCommand,
    ForkCommand,
    LsCommand,
    InfoCommand,
    PingCommand,
    ExecCommand,
    EvalCommand,
    RmCommand,
    ImageCommand,
    ImageBuildCommand,
    ImageLsCommand,
    ImageRmCommand,
    StatusCommand,
    QuickstartCommand,
    VersionCommand,
  ],
})
export class CliModule {}
