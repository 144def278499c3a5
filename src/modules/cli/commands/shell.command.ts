import { Command, Option } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';
import { argument, ForkdCommand, sandboxId } from './forkd.command';
import { localTerm, requireTerminal, tooOld } from './program-env';

interface ShellOptions {
  readonly user?: string;
}

/** The best shell there is; every image with a shell at all has `sh`. */
const PICK_SHELL = 'if command -v bash >/dev/null 2>&1; then exec bash -l; fi; exec sh -l';

@Command({
  name: 'shell',
  arguments: '<id>',
  description: 'Open a shell in a sandbox on this terminal; Enter ~ . leaves one that hangs',
})
export class ShellCommand extends ForkdCommand<ShellOptions> {
  @Option({ flags: '-u, --user <user>', description: 'log in as name, uid or uid:gid' })
  user(text: string): string {
    return text;
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    options: ShellOptions,
  ): Promise<void> {
    const id = sandboxId(argument(args, 0, '<id>'));
    if (session.output.options.json) throw new CliError(ExitCode.usage, 'a shell has no JSON to print');
    requireTerminal('shell');
    const { runProgram } = await import('../stream/run-program.js');
    const exitCode = await runProgram(session, id, {
      args: ['/bin/sh', '-c', PICK_SHELL],
      env: localTerm(),
      user: options.user,
      interactive: true,
      terminal: true,
    });
    if (exitCode === undefined) throw tooOld('a shell');
    process.exitCode = exitCode;
  }
}
