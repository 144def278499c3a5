import { SubCommand } from 'nest-commander';
import type { Session } from '../session';
import { ForkdCommand } from './forkd.command';
import { workspaceColumns } from './workspace-columns';

@SubCommand({ name: 'ls', aliases: ['list'], description: 'List the workspaces' })
export class WorkspaceLsCommand extends ForkdCommand {
  protected override async execute(session: Session): Promise<void> {
    const api = await session.api();
    const workspaces = await api.workspaces();
    session.output.rows(workspaceColumns, workspaces, (one) => one.name);
    if (workspaces.length === 0 && !session.output.options.json) {
      session.output.note('No workspaces. `forkd workspace create dev --tag TAG` makes one.');
    }
  }
}
