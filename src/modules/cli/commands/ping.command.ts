import { Command } from 'nest-commander';
import { printable } from '../output/table';
import type { Session } from '../session';
import { argument, ForkdCommand, sandboxId } from './forkd.command';

@Command({ name: 'ping', arguments: '<id>', description: "Ask a sandbox's agent whether it answers" })
export class PingCommand extends ForkdCommand {
  protected override async execute(session: Session, args: readonly string[]): Promise<void> {
    const id = sandboxId(argument(args, 0, '<id>'));
    const api = await session.api();
    const started = performance.now();
    const answer = await api.ping(id);
    const latencyMs = performance.now() - started;
    const { output } = session;
    if (output.options.json) {
      output.json(answer);
      return;
    }
    const details = Object.entries(answer)
      .filter(([name]) => name !== 'pong')
      .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
    output.line(printable(`${id} answered in ${latencyMs.toFixed(1)} ms: ${details.join(' ')}`));
  }
}
