import { Command } from 'nest-commander';
import { age, orDash } from '../output/format';
import { printable } from '../output/table';
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
    const lines: [name: string, value: string][] = [
      ['id', sandbox.id],
      ['snapshot', sandbox.snapshot_tag],
      ['created', `${created} (${age(sandbox.created_at_unix)} ago)`],
      ['pid', orDash(sandbox.pid)],
      ['namespace', orDash(sandbox.netns)],
      ['guest address', sandbox.guest_addr],
      ['memory limit', limit],
      ['branches', String(sandbox.branch_count)],
      ['last branch', orDash(sandbox.last_branch_memory_path)],
    ];
    for (const [name, value] of lines) output.line(`${name.padEnd(14)} ${printable(value)}`);
  }
}
