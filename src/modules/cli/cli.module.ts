import { Injectable, Module, type DynamicModule, type Type } from '@nestjs/common';
import { InjectCommander, type CommandRunner } from 'nest-commander';
import { BranchCommand } from './commands/branch.command';
import { CleanupCommand } from './commands/cleanup.command';
import { DoctorCommand } from './commands/doctor.command';
import { EvalCommand } from './commands/eval.command';
import { ExecCommand } from './commands/exec.command';
import { ForkCommand } from './commands/fork.command';
import { ImageBuildCommand } from './commands/image-build.command';
import { ImageLsCommand } from './commands/image-ls.command';
import { ImageRmCommand } from './commands/image-rm.command';
import { ImageCommand } from './commands/image.command';
import { UpstreamImagesCommand } from './commands/images.command';
import { InfoCommand } from './commands/info.command';
import { LsCommand } from './commands/ls.command';
import { PingCommand } from './commands/ping.command';
import { PolicyCommand } from './commands/policy.command';
import { QuickstartCommand } from './commands/quickstart.command';
import { RmCommand } from './commands/rm.command';
import { ShellCommand } from './commands/shell.command';
import { SnapshotCompactCommand, UpstreamSnapshotCompactCommand } from './commands/snapshot-compact.command';
import { SnapshotCreateCommand } from './commands/snapshot-create.command';
import { SnapshotInfoCommand, UpstreamSnapshotInfoCommand } from './commands/snapshot-info.command';
import { SnapshotLsCommand } from './commands/snapshot-ls.command';
import { SnapshotMakeCommand } from './commands/snapshot-make.command';
import { SnapshotPackCommand, UpstreamPackCommand } from './commands/snapshot-pack.command';
import { SnapshotRmCommand, UpstreamRmiCommand } from './commands/snapshot-rm.command';
import { SnapshotUnpackCommand, UpstreamUnpackCommand } from './commands/snapshot-unpack.command';
import { SnapshotCommand } from './commands/snapshot.command';
import { StatusCommand } from './commands/status.command';
import { TokenRotateCommand } from './commands/token-rotate.command';
import { TokenCommand } from './commands/token.command';
import { TreeCommand } from './commands/tree.command';
import { VersionCommand } from './commands/version.command';
import { WorkspaceCreateCommand } from './commands/workspace-create.command';
import { WorkspaceInfoCommand } from './commands/workspace-info.command';
import { WorkspaceLsCommand } from './commands/workspace-ls.command';
import { WorkspaceResumeCommand } from './commands/workspace-resume.command';
import { WorkspaceRmCommand } from './commands/workspace-rm.command';
import { WorkspaceSuspendCommand } from './commands/workspace-suspend.command';
import { WorkspaceCommand } from './commands/workspace.command';

/** The root of the command line, where flags for all commands are declared. */
@Injectable()
export class ProgramRoot {
  constructor(@InjectCommander() readonly command: Parameters<CommandRunner['setCommand']>[0]) {}
}

/** What each word behind `forkd` needs; aliases included. */
const COMMANDS: Readonly<Record<string, readonly Type[]>> = withAliases(
  {
    branch: [BranchCommand],
    cleanup: [CleanupCommand],
    doctor: [DoctorCommand],
    eval: [EvalCommand],
    exec: [ExecCommand],
    fork: [ForkCommand],
    image: [ImageCommand, ImageBuildCommand, ImageLsCommand, ImageRmCommand],
    images: [UpstreamImagesCommand],
    info: [InfoCommand],
    ls: [LsCommand],
    pack: [UpstreamPackCommand],
    ping: [PingCommand],
    policy: [PolicyCommand],
    quickstart: [QuickstartCommand],
    rm: [RmCommand],
    rmi: [UpstreamRmiCommand],
    shell: [ShellCommand],
    snapshot: [
      SnapshotCommand,
      SnapshotCreateCommand,
      SnapshotLsCommand,
      SnapshotInfoCommand,
      SnapshotCompactCommand,
      SnapshotPackCommand,
      SnapshotUnpackCommand,
      SnapshotRmCommand,
      SnapshotMakeCommand,
    ],
    'snapshot-compact': [UpstreamSnapshotCompactCommand],
    'snapshot-info': [UpstreamSnapshotInfoCommand],
    status: [StatusCommand],
    token: [TokenCommand, TokenRotateCommand],
    tree: [TreeCommand],
    unpack: [UpstreamUnpackCommand],
    version: [VersionCommand],
    workspace: [
      WorkspaceCommand,
      WorkspaceCreateCommand,
      WorkspaceLsCommand,
      WorkspaceInfoCommand,
      WorkspaceSuspendCommand,
      WorkspaceResumeCommand,
      WorkspaceRmCommand,
    ],
  },
  { spawn: 'fork', ps: 'ls', kill: 'rm', ws: 'workspace' },
);

function withAliases(
  commands: Record<string, readonly Type[]>,
  aliases: Readonly<Record<string, string>>,
): Record<string, readonly Type[]> {
  const others = Object.entries(aliases).map(([alias, name]) => [alias, commands[name] ?? []] as const);
  return { ...commands, ...Object.fromEntries(others) };
}

/** The commands of the command line. */
@Module({})
export class CliModule {
  /** With the one command that the first word names, as setting up all of them takes time; else with all of them. */
  static for([word = '']: readonly string[]): DynamicModule {
    const named = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined;
    const commands = named ?? new Set(Object.values(COMMANDS).flat());
    return { module: CliModule, providers: [ProgramRoot, ...commands] };
  }
}
