import { SubCommand } from 'nest-commander';
import type { Session } from '../session';
import { ForkdCommand, workspaceName } from './forkd.command';
import { removeEach } from './remove-each';
import { withWorkspaceHint } from './workspace-hint';

@SubCommand({
  name: 'rm',
  aliases: ['delete'],
  arguments: '<name...>',
  description: 'Delete workspaces: their VMs and their suspended states',
})
export class WorkspaceRmCommand extends ForkdCommand {
  protected override async execute(session: Session, args: readonly string[]): Promise<void> {
    const names = [...new Set(args)].map(workspaceName);
    const api = await session.api();
    await removeEach(session, names, (name) =>
      withWorkspaceHint(session, name, () => api.deleteWorkspace(name)),
    );
  }
}
