import { SubCommand } from 'nest-commander';
import { duration } from '../output/format';
import type { Session } from '../session';
import { argument, ForkdCommand, workspaceName } from './forkd.command';
import { workspaceColumns } from './workspace-columns';
import { withWorkspaceHint } from './workspace-hint';

@SubCommand({
  name: 'resume',
  arguments: '<name>',
  description: 'Start a workspace that is suspended, or whose VM is gone',
})
export class WorkspaceResumeCommand extends ForkdCommand {
  protected override async execute(session: Session, args: readonly string[]): Promise<void> {
    const name = workspaceName(argument(args, 0, '<name>'));
    const api = await session.api();
    const started = performance.now();
    const workspace = await session.output.during(`resuming ${name}`, () =>
      withWorkspaceHint(session, name, () => api.resume(name)),
    );
    const { output } = session;
    if (output.options.json) {
      output.json(workspace);
      return;
    }
    output.rows(workspaceColumns, [workspace], (one) => one.name);
    output.note(`resumed in ${duration(performance.now() - started)}`);
  }
}
