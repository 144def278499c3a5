import { Option, SubCommand } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import { duration } from '../output/format';
import type { Session } from '../session';
import { argument, ForkdCommand, snapshotTag, wholeNumber, workspaceName } from './forkd.command';
import { withTagHint } from './tag-hint';
import { workspaceColumns } from './workspace-columns';

interface CreateOptions {
  readonly tag?: string;
  readonly snapshot?: string;
  readonly perChildNetns?: boolean;
  readonly memoryLimitMib?: number;
}

@SubCommand({
  name: 'create',
  arguments: '<name>',
  description: 'Fork a sandbox that has a name: forkd workspace create dev --tag python',
})
export class WorkspaceCreateCommand extends ForkdCommand<CreateOptions> {
  @Option({ flags: '-t, --tag <tag>', description: 'the snapshot it begins as' })
  tag(text: string): string {
    return snapshotTag(text);
  }

  @Option({ flags: '--snapshot <tag>', description: 'the same as --tag' })
  snapshot(text: string): string {
    return snapshotTag(text);
  }

  @Option({ flags: '--per-child-netns', description: 'a network namespace of its own, also after a resume' })
  perChildNetns(): boolean {
    return true;
  }

  @Option({ flags: '--memory-limit-mib <MiB>', description: 'limit of its memory, also after a resume' })
  memoryLimitMib(text: string): number {
    return wholeNumber(text, '--memory-limit-mib', 1, 1_048_576);
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    options: CreateOptions,
  ): Promise<void> {
    const name = workspaceName(argument(args, 0, '<name>'));
    const tag = options.tag ?? options.snapshot;
    if (tag === undefined) {
      throw new CliError(
        ExitCode.usage,
        'no snapshot was named',
        'Add --tag TAG; `forkd snapshot ls` shows them.',
      );
    }
    const api = await session.api();
    const started = performance.now();
    const made = await session.output.during(`forking ${name} from ${tag}`, () =>
      withTagHint(session, tag, () =>
        api.createWorkspace({
          name,
          snapshot_tag: tag,
          ...(options.perChildNetns === true ? { per_child_netns: true } : {}),
          ...(options.memoryLimitMib === undefined ? {} : { memory_limit_mib: options.memoryLimitMib }),
        }),
      ),
    );
    const { output } = session;
    if (output.options.json) {
      output.json(made);
      return;
    }
    output.rows(workspaceColumns, [made], (one) => one.name);
    output.note(
      `made in ${duration(performance.now() - started)}; park it: forkd workspace suspend ${made.name}`,
    );
  }
}
