import { Command, Option } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import { duration } from '../output/format';
import type { Session } from '../session';
import { ForkdCommand, oneOf, snapshotTag, wholeNumber } from './forkd.command';
import { NETWORK_POLICIES } from './policy.command';
import { sandboxColumns } from './sandbox-columns';
import { withTagHint } from './tag-hint';

interface ForkOptions {
  readonly tag?: string;
  readonly count: number;
  readonly perChildNetns?: boolean;
  readonly networkPolicy?: string;
  readonly allow?: readonly string[];
  readonly memoryLimitMib?: number;
}

@Command({
  name: 'fork',
  aliases: ['spawn'],
  arguments: '[tag]',
  description: 'Fork children from a snapshot; they are ready when it returns',
})
export class ForkCommand extends ForkdCommand<ForkOptions> {
  @Option({ flags: '-t, --tag <tag>', description: 'the snapshot' })
  tag(text: string): string {
    return snapshotTag(text);
  }

  @Option({ flags: '-n, --count <number>', description: 'how many children, 1 to 1000', defaultValue: 1 })
  count(text: string): number {
    return wholeNumber(text, '--count', 1, 1000);
  }

  @Option({ flags: '--per-child-netns', description: 'give each child a network namespace of its own' })
  perChildNetns(): boolean {
    return true;
  }

  @Option({
    flags: '--network-policy <policy>',
    description: 'what each may reach: none, internet, allow or open',
  })
  networkPolicy(text: string): string {
    return oneOf(text, '--network-policy', NETWORK_POLICIES);
  }

  @Option({ flags: '--allow <target>', description: 'with --network-policy allow, as often as needed' })
  allow(target: string, before: readonly string[] = []): readonly string[] {
    return [...before, target];
  }

  @Option({ flags: '--memory-limit-mib <MiB>', description: "limit of each child's memory" })
  memoryLimitMib(text: string): number {
    return wholeNumber(text, '--memory-limit-mib', 1, 1_048_576);
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    options: ForkOptions,
  ): Promise<void> {
    const tag = chosenTag(args[0], options.tag);
    const api = await session.api();
    const started = performance.now();
    const children = await session.output.during(`forking ${options.count} from ${tag}`, () =>
      withTagHint(session, tag, () =>
        api.fork({
          snapshot_tag: tag,
          n: options.count,
          ...(options.perChildNetns === true ? { per_child_netns: true } : {}),
          ...(options.networkPolicy === undefined ? {} : { network_policy: options.networkPolicy }),
          ...(options.allow === undefined ? {} : { network_allow: options.allow }),
          ...(options.memoryLimitMib === undefined ? {} : { memory_limit_mib: options.memoryLimitMib }),
        }),
      ),
    );
    session.output.rows(sandboxColumns, children, (child) => child.id);
    if (!session.output.options.json) {
      const noun = children.length === 1 ? 'child' : 'children';
      session.output.note(`${children.length} ${noun} of ${tag} in ${duration(performance.now() - started)}`);
    }
  }
}

function chosenTag(positional: string | undefined, flag: string | undefined): string {
  if (positional !== undefined && flag !== undefined && positional !== flag) {
    throw new CliError(ExitCode.usage, `two tags were given: ${positional} and ${flag}`);
  }
  const tag = flag ?? positional;
  if (tag === undefined) {
    throw new CliError(
      ExitCode.usage,
      'no snapshot was named',
      'Add --tag TAG; `forkd snapshot ls` shows them.',
    );
  }
  return snapshotTag(tag);
}
