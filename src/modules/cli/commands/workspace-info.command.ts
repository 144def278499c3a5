import { SubCommand } from 'nest-commander';
import { age, orDash } from '../output/format';
import type { Session } from '../session';
import { argument, ForkdCommand, workspaceName } from './forkd.command';
import { withWorkspaceHint } from './workspace-hint';

@SubCommand({ name: 'info', arguments: '<name>', description: 'Show one workspace' })
export class WorkspaceInfoCommand extends ForkdCommand {
  protected override async execute(session: Session, args: readonly string[]): Promise<void> {
    const name = workspaceName(argument(args, 0, '<name>'));
    const api = await session.api();
    const workspace = await withWorkspaceHint(session, name, () => api.workspace(name));
    const { output } = session;
    if (output.options.json) {
      output.json(workspace);
      return;
    }
    output.fields([
      ['name', workspace.name],
      ['id', workspace.id],
      ['status', workspace.status],
      ['sandbox', orDash(workspace.live_sandbox_id)],
      ['snapshot', workspace.source_snapshot_tag],
      ['state', orDash(workspace.current_state_tag)],
      ['created', when(workspace.created_at_unix)],
      ['active', when(workspace.last_active_unix)],
    ]);
  }
}

function when(unix: number): string {
  return `${new Date(unix * 1000).toISOString()} (${age(unix)} ago)`;
}
