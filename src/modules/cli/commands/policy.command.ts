import { Command, Option } from 'nest-commander';
import { printable } from '../output/table';
import type { Session } from '../session';
import { argument, ForkdCommand, oneOf, sandboxId } from './forkd.command';

export const NETWORK_POLICIES = ['none', 'internet', 'allow', 'open'] as const;

interface PolicyOptions {
  readonly allow?: readonly string[];
}

@Command({
  name: 'policy',
  arguments: '<id> [policy]',
  description: "Show what a sandbox's network may reach, or change it: none, internet, allow or open",
})
export class PolicyCommand extends ForkdCommand<PolicyOptions> {
  @Option({
    flags: '--allow <target>',
    description: 'with allow, as often as needed: 203.0.113.7, 10.1.0.0/16:443, 1.1.1.1:53/udp',
  })
  allow(target: string, before: readonly string[] = []): readonly string[] {
    return [...before, target];
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    { allow = [] }: PolicyOptions,
  ): Promise<void> {
    const id = sandboxId(argument(args, 0, '<id>'));
    const wish = args[1] ?? (allow.length > 0 ? 'allow' : undefined);
    const api = await session.api();
    const network =
      wish === undefined
        ? await api.network(id)
        : await api.setNetwork(id, oneOf(wish, '<policy>', NETWORK_POLICIES), allow);
    const { output } = session;
    if (output.options.json) {
      output.json(network);
      return;
    }
    const targets = network.allow === undefined ? '' : `: ${network.allow.join(', ')}`;
    output.line(printable(`${network.policy}${targets}`));
    output.note(
      `${id} is reached at ${network.address}; it sent ${network.bytes_sent} bytes and received ${network.bytes_received}`,
    );
  }
}
