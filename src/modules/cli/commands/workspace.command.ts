import { Command } from 'nest-commander';
import { GroupCommand } from './forkd.command';
import { WorkspaceCreateCommand } from './workspace-create.command';
import { WorkspaceInfoCommand } from './workspace-info.command';
import { WorkspaceLsCommand } from './workspace-ls.command';
import { WorkspaceResumeCommand } from './workspace-resume.command';
import { WorkspaceRmCommand } from './workspace-rm.command';
import { WorkspaceSuspendCommand } from './workspace-suspend.command';

@Command({
  name: 'workspace',
  aliases: ['ws'],
  description: 'Sandboxes with a name, which can be parked on disk and resumed',
  subCommands: [
    WorkspaceCreateCommand,
    WorkspaceLsCommand,
    WorkspaceInfoCommand,
    WorkspaceSuspendCommand,
    WorkspaceResumeCommand,
    WorkspaceRmCommand,
  ],
})
export class WorkspaceCommand extends GroupCommand {}
