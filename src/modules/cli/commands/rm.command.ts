import { Command, Option } from 'nest-commander';
import type { ApiClient } from '../api/client';
import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';
import { ForkdCommand, sandboxId, snapshotTag } from './forkd.command';
import { removeEach } from './remove-each';

interface RmOptions {
  readonly all?: boolean;
  readonly tag?: string;
}

@Command({ name: 'rm', aliases: ['kill'], arguments: '[id...]', description: 'Delete sandboxes' })
export class RmCommand extends ForkdCommand<RmOptions> {
  @Option({ flags: '--all', description: 'delete every sandbox of the daemon' })
  all(): boolean {
    return true;
  }

  @Option({ flags: '-t, --tag <tag>', description: 'delete every sandbox forked from this snapshot' })
  tag(text: string): string {
    return snapshotTag(text);
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    options: RmOptions,
  ): Promise<void> {
    const api = await session.api();
    const ids = await chosen(api, args, options);
    await removeEach(session, ids, (id) => api.remove(id));
  }
}

async function chosen(api: ApiClient, args: readonly string[], { all, tag }: RmOptions): Promise<string[]> {
  const ways = [args.length > 0, all === true, tag !== undefined].filter(Boolean).length;
  if (ways > 1) throw new CliError(ExitCode.usage, 'give ids, or --all, or --tag, not several of them');
  if (ways === 0) {
    throw new CliError(
      ExitCode.usage,
      'no sandbox was named',
      'Give ids from `forkd ls`, --tag TAG, or --all.',
    );
  }
  if (args.length > 0) return [...new Set(args)].map(sandboxId);
  const sandboxes = await api.sandboxes();
  return sandboxes.filter((one) => tag === undefined || one.snapshot_tag === tag).map((one) => one.id);
}
