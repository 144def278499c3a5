import { Command, Option } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';
import { ForkdCommand } from './forkd.command';

interface CleanupOptions {
  readonly dryRun?: boolean;
}

interface Leftover {
  readonly kind: 'sandbox' | 'snapshot';
  readonly name: string;
}

@Command({
  name: 'cleanup',
  description: 'Remove what is of no more use: sandboxes whose VM has ended, snapshots that failed',
})
export class CleanupCommand extends ForkdCommand<CleanupOptions> {
  @Option({ flags: '-n, --dry-run', description: 'only say what would be removed' })
  dryRun(): boolean {
    return true;
  }

  protected override async execute(
    session: Session,
    _args: readonly string[],
    { dryRun = false }: CleanupOptions,
  ): Promise<void> {
    const api = await session.api();
    const [sandboxes, snapshots] = await Promise.all([api.sandboxes(), api.snapshots()]);
    const found: Leftover[] = [
      ...sandboxes
        .filter(({ status }) => status === 'dead')
        .map(({ id }): Leftover => ({ kind: 'sandbox', name: id })),
      ...snapshots
        .filter(({ status }) => status === 'failed')
        .map(({ tag }): Leftover => ({ kind: 'snapshot', name: tag })),
    ];
    const results = await Promise.allSettled(
      found.map(async ({ kind, name }) => {
        if (!dryRun) await (kind === 'sandbox' ? api.remove(name) : api.deleteSnapshot(name));
      }),
    );
    const removed = found.filter((_, index) => results[index]?.status === 'fulfilled');
    const errors = results.flatMap((result) =>
      result.status === 'rejected'
        ? [result.reason instanceof Error ? result.reason.message : String(result.reason)]
        : [],
    );
    const { output } = session;
    const names = (kind: Leftover['kind']): string[] =>
      removed.filter((each) => each.kind === kind).map(({ name }) => name);
    if (output.options.json) {
      output.json({ dry_run: dryRun, sandboxes: names('sandbox'), snapshots: names('snapshot'), errors });
    } else {
      for (const { kind, name } of removed) output.line(output.options.quiet ? name : `${kind} ${name}`);
      if (found.length === 0) output.note('Nothing to remove.');
      else if (dryRun) output.note('Nothing was removed: this is what would be.');
    }
    const [first, ...others] = errors;
    for (const error of others) output.error(error);
    if (first !== undefined) throw new CliError(ExitCode.failed, first);
  }
}
