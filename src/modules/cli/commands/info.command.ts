import { Command } from 'nest-commander';
import type { Sandbox } from '../api/types';
import { age, orDash } from '../output/format';
import type { Session } from '../session';
import { argument, ForkdCommand, sandboxId } from './forkd.command';

@Command({ name: 'info', arguments: '<id>', description: 'Show one sandbox' })
export class InfoCommand extends ForkdCommand {
  protected override async execute(session: Session, args: readonly string[]): Promise<void> {
    const api = await session.api();
    const sandbox = await api.sandbox(sandboxId(argument(args, 0, '<id>')));
    const { output } = session;
    if (output.options.json) {
      output.json(sandbox);
      return;
    }
    const limit = sandbox.memory_limit_mib === null ? '-' : `${sandbox.memory_limit_mib} MiB`;
    const created = new Date(sandbox.created_at_unix * 1000).toISOString();
    output.fields([
      ['id', sandbox.id],
      ['snapshot', sandbox.snapshot_tag],
      ['created', `${created} (${age(sandbox.created_at_unix)} ago)`],
      ['status', stateOf(sandbox)],
      ['pid', orDash(sandbox.pid)],
      ['namespace', orDash(sandbox.netns)],
      ['guest address', sandbox.guest_addr],
      ['memory limit', limit],
      ['branches', String(sandbox.branch_count)],
      ['last branch', orDash(sandbox.last_branch_memory_path)],
    ]);
  }
}

function stateOf({ status, status_reason: reason }: Sandbox): string {
  if (status === undefined) return 'running';
  return reason === undefined ? status : `${status}: ${reason}`;
}
