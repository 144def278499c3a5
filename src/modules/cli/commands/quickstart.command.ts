import { Command, Option } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';
import { ForkdCommand, wholeNumber } from './forkd.command';

interface QuickstartOptions {
  readonly children: number;
  readonly port?: number;
  readonly down?: boolean;
  readonly purge?: boolean;
}

@Command({
  name: 'quickstart',
  description:
    'From a built checkout to forked Python sandboxes (`npm run quickstart` installs what is missing first)',
})
export class QuickstartCommand extends ForkdCommand<QuickstartOptions> {
  @Option({ flags: '--children <number>', description: 'how many to fork, 1 to 100', defaultValue: 10 })
  children(text: string): number {
    return wholeNumber(text, '--children', 1, 100);
  }

  @Option({ flags: '--port <number>', description: "the daemon's port on loopback (8889)" })
  port(text: string): number {
    return wholeNumber(text, '--port', 1, 65_535);
  }

  @Option({ flags: '--yes', description: 'install what is missing without asking (npm run quickstart)' })
  yes(): boolean {
    return true;
  }

  @Option({ flags: '--down', description: 'stop the daemon and its VMs' })
  down(): boolean {
    return true;
  }

  @Option({ flags: '--purge', description: 'with --down: remove the snapshot, the image and the logs too' })
  purge(): boolean {
    return true;
  }

  protected override async execute(
    session: Session,
    _args: readonly string[],
    options: QuickstartOptions,
  ): Promise<void> {
    if (options.purge === true && options.down !== true) {
      throw new CliError(ExitCode.usage, '--purge goes with --down');
    }
    const { runQuickstart } = await import('../quickstart/run.js');
    await runQuickstart(session, {
      children: options.children,
      port: options.port,
      down: options.down === true,
      purge: options.purge === true,
    });
  }
}
