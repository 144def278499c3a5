import { Command, Option } from 'nest-commander';
import type { Session } from '../session';
import { ForkdCommand, snapshotTag } from './forkd.command';
import { sandboxColumns } from './sandbox-columns';

interface LsOptions {
  readonly tag?: string;
}

@Command({ name: 'ls', aliases: ['ps'], description: 'List the sandboxes' })
export class LsCommand extends ForkdCommand<LsOptions> {
  @Option({ flags: '-t, --tag <tag>', description: 'only those forked from this snapshot' })
  tag(text: string): string {
    return snapshotTag(text);
  }

  protected override async execute(
    session: Session,
    _args: readonly string[],
    options: LsOptions,
  ): Promise<void> {
    const api = await session.api();
    const all = await api.sandboxes();
    const shown =
      options.tag === undefined ? all : all.filter((sandbox) => sandbox.snapshot_tag === options.tag);
    session.output.rows(sandboxColumns, shown, (sandbox) => sandbox.id);
    if (shown.length === 0 && !session.output.options.json) {
      session.output.note('No sandboxes. `forkd fork --tag TAG -n 2` makes some.');
    }
  }
}
