import { Command, Option } from 'nest-commander';
import type { ApiClient } from '../api/client';
import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';
import { ForkdCommand, sandboxId } from './forkd.command';
import { removeEach } from './remove-each';

interface RmOptions {
  readonly all?: boolean;
}

@Command({ name: 'rm', arguments: '[id...]', description: 'Delete sandboxes' })
export class RmCommand extends ForkdCommand<RmOptions> {
  @Option({ flags: '--all', description: 'delete every sandbox of the daemon' })
  all(): boolean {
    return true;
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    options: RmOptions,
  ): Promise<void> {
    const api = await session.api();
    const ids = await chosen(api, args, options.all === true);
    await removeEach(session, ids, (id) => api.remove(id));
  }
}

async function chosen(api: ApiClient, args: readonly string[], all: boolean): Promise<string[]> {
  if (all && args.length > 0) throw new CliError(ExitCode.usage, '--all takes no ids');
  if (all) return (await api.sandboxes()).map((sandbox) => sandbox.id);
  if (args.length === 0) {
    throw new CliError(ExitCode.usage, 'no sandbox was named', 'Give ids from `forkd ls`, or --all.');
  }
  return [...new Set(args)].map(sandboxId);
}
