import { Command, Option } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';
import { argument, ForkdCommand, sandboxId, wholeNumber } from './forkd.command';
import { environment, localTerm, requireTerminal, tooOld } from './program-env';

interface ExecOptions {
  readonly timeout?: number;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
}

/** What the daemon gives a program that it runs to its end for one answer. */
const ANSWER_TIMEOUT_SECS = 30;

@Command({
  name: 'exec',
  arguments: '<id> <argv...>',
  description: 'Run a program in a sandbox (no shell) and return its exit code: forkd exec ID -- ls -l /',
})
export class ExecCommand extends ForkdCommand<ExecOptions> {
  @Option({
    flags: '--timeout <seconds>',
    description: 'kill the program after this long (no limit; 30 with --json)',
  })
  timeout(text: string): number {
    return wholeNumber(text, '--timeout', 1, 86_400);
  }

  @Option({ flags: '-i, --interactive', description: 'hand standard input on' })
  interactive(): boolean {
    return true;
  }

  @Option({ flags: '-t, --tty', description: 'give the program a terminal; Enter ~ . leaves it' })
  tty(): boolean {
    return true;
  }

  @Option({ flags: '-e, --env <name=value>', description: 'add to its environment; can be repeated' })
  env(text: string, earlier: readonly string[] = []): string[] {
    return [...earlier, text];
  }

  @Option({ flags: '-u, --user <user>', description: 'run as name, uid or uid:gid' })
  user(text: string): string {
    return text;
  }

  @Option({ flags: '-w, --workdir <path>', description: 'run in this directory' })
  workdir(text: string): string {
    return text;
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
    const ways = streamOnly(options);
    if (session.output.options.json) {
      const [first] = ways;
      if (first !== undefined) {
        throw new CliError(ExitCode.usage, `--json collects the output, and does not go with ${first}`);
      }
      await this.collect(session, id, argv, options.timeout);
      return;
    }
    const { tty: terminal = false, interactive = false } = options;
    if (terminal && interactive) requireTerminal('exec -it');
    const { runProgram } = await import('../stream/run-program.js');
    const exitCode = await runProgram(session, id, {
      args: argv,
      env: { ...(terminal ? localTerm() : {}), ...environment(options.env ?? []) },
      cwd: options.workdir,
      user: options.user,
      timeoutSecs: options.timeout,
      interactive,
      terminal,
    });
    if (exitCode !== undefined) {
      process.exitCode = exitCode;
      return;
    }
    const [first] = ways;
    if (first !== undefined) throw tooOld(first);
    await this.collect(session, id, argv, options.timeout);
  }

  /** Runs it for one answer with all output. */
  private async collect(
    session: Session,
    id: string,
    argv: readonly string[],
    timeout = ANSWER_TIMEOUT_SECS,
  ): Promise<void> {
    const api = await session.api();
    const answer = await api.exec(id, argv, timeout);
    if (session.output.options.json) {
      session.output.json(answer);
    } else {
      session.output.data(answer.stdout);
      session.output.errorData(answer.stderr);
    }
    process.exitCode = shellExitCode(answer.exit_code);
  }
}

/** The flags that were given which only a stream can fulfil. */
function streamOnly({ interactive, tty, env, user, workdir }: ExecOptions): string[] {
  const given = {
    '--interactive': interactive,
    '--tty': tty,
    '--env': env,
    '--user': user,
    '--workdir': workdir,
  };
  return Object.entries(given).flatMap(([flag, value]) => (value === undefined ? [] : [flag]));
}

/** A program ended by signal N is reported as -N by the daemon and as 128+N by shells. */
function shellExitCode(guest: number): number {
  return guest < 0 ? 128 - guest : guest & 0xff;
}
