import { Command, Option } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';
import { argument, ForkdCommand, sandboxId, wholeNumber } from './forkd.command';

interface ExecOptions {
  readonly timeout: number;
}

@Command({
  name: 'exec',
  arguments: '<id> <argv...>',
  description: 'Run a program in a sandbox (no shell) and return its exit code: forkd exec ID -- ls -l /',
})
export class ExecCommand extends ForkdCommand<ExecOptions> {
  @Option({ flags: '--timeout <seconds>', description: 'kill the program after this long', defaultValue: 30 })
  timeout(text: string): number {
    return wholeNumber(text, '--timeout', 1, 86_400);
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    options: ExecOptions,
  ): Promise<void> {
    const id = sandboxId(argument(args, 0, '<id>'));
    const argv = args.slice(1);
    if (argv.length === 0) {
      throw new CliError(
        ExitCode.usage,
        'no program was named',
        'Write it behind --: forkd exec ID -- uname -a',
      );
    }
    const api = await session.api();
    const answer = await api.exec(id, argv, options.timeout);
    if (session.output.options.json) {
      session.output.json(answer);
    } else {
      session.output.data(answer.stdout);
      session.output.errorData(answer.stderr);
    }
    process.exitCode = shellExitCode(answer.exit_code);
  }
}

/** A program ended by signal N is reported as -N by the daemon and as 128+N by shells. */
function shellExitCode(guest: number): number {
  return guest < 0 ? 128 - guest : guest & 0xff;
}
