import { Option, SubCommand } from 'nest-commander';
import { duration } from '../output/format';
import type { Session } from '../session';
import { argument, ForkdCommand, workspaceName } from './forkd.command';
import { workspaceColumns } from './workspace-columns';
import { withWorkspaceHint } from './workspace-hint';

interface SuspendOptions {
  readonly diff?: boolean;
}

@SubCommand({
  name: 'suspend',
  arguments: '<name>',
  description: 'Write a workspace to disk and end its VM; `resume` goes on where it was',
})
export class WorkspaceSuspendCommand extends ForkdCommand<SuspendOptions> {
  @Option({ flags: '--diff', description: 'copy only the memory that changed since it was started' })
  diff(): boolean {
    return true;
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    options: SuspendOptions,
  ): Promise<void> {
    const name = workspaceName(argument(args, 0, '<name>'));
    const api = await session.api();
    const started = performance.now();
    const workspace = await session.output.during(`suspending ${name}`, () =>
      withWorkspaceHint(session, name, () => api.suspend(name, options.diff === true)),
    );
    const { output } = session;
    if (output.options.json) {
      output.json(workspace);
      return;
    }
    output.rows(workspaceColumns, [workspace], (one) => one.name);
    output.note(
      `suspended in ${duration(performance.now() - started)}; go on with it: forkd workspace resume ${name}`,
    );
  }
}
