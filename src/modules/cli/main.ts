import 'reflect-metadata';
import { CommandFactory, type CommandRunner } from 'nest-commander';
import { CliModule, ProgramRoot } from './cli.module';
import { isListed } from './commands/forkd.command';
import { CliError, ExitCode } from './errors';
import { findInstallation } from './installation';
import { Output } from './output/output';
import { outputOptions } from './settings';

type Command = Parameters<CommandRunner['setCommand']>[0];

const AFTER_HELP = `
Environment:
  FORKD_URL         the daemon's address (http://127.0.0.1:8889)
  FORKD_TOKEN       its bearer token
  FORKD_TOKEN_FILE  file that holds the token
  FORKD_IMAGE_ROOT  where images are kept
  NO_COLOR          no colours when set

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 daemon not reachable, 4 not found,
5 conflict; exec returns the code of the program in the guest.`;

/** Runs the command line of this process; sets its exit code and never rejects. */
export async function main(): Promise<void> {
  // A reader that has enough (`forkd ls | head -1`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  try {
    const app = await CommandFactory.createWithoutRunning(CliModule.for(process.argv.slice(2)), {
      logger: false,
      abortOnError: false,
      // Without it nest-commander prints the error and exits 0.
      serviceErrorHandler: report,
    });
    prepare(app.get(ProgramRoot).command);
    await CommandFactory.runApplication(app);
    await app.close();
  } catch (error) {
    report(error);
  }
}

function prepare(root: Command): void {
  root
    .name('forkd')
    .description('Forks microVM sandboxes from warm snapshots, through the daemon forkd-controller.')
    .option('--url <url>', "the daemon's address (FORKD_URL)")
    .option('--token-file <path>', "file with the daemon's bearer token (FORKD_TOKEN_FILE)")
    .option('--json', 'print JSON')
    .option('-q, --quiet', 'print ids only, and no remarks')
    .option('--no-color', 'no colours (NO_COLOR)')
    .addOption(root.createOption('--daemon-url <url>').hideHelp())
    .version(findInstallation().version, '-V, --version')
    .addHelpText('after', AFTER_HELP);
  prepareLevel(root, 'forkd');
}

/** nest-commander builds every level by itself, so none inherits how errors are reported. */
function prepareLevel(command: Command, path: string): void {
  const help = Object.assign(command.createHelp(), { sortSubcommands: true });
  command
    .exitOverride((error) => {
      if (error.exitCode === 0 || error.code === 'commander.help') throw error;
      const message = error.message.replace(/^error: /, '').replace('\n(', ' (');
      throw new CliError(ExitCode.usage, message, `\`${path} --help\` shows what is possible.`);
    })
    .configureHelp({
      showGlobalOptions: true,
      visibleCommands: (group) => help.visibleCommands(group).filter(isListed),
    })
    .configureOutput({ outputError: () => undefined })
    .addHelpCommand(false);
  if (command.commands.length === 0) command.allowExcessArguments(false);
  for (const child of command.commands) prepareLevel(child, `${path} ${child.name()}`);
}

function report(error: unknown): void {
  if (isHelp(error)) {
    process.exitCode = error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    return;
  }
  const color = process.argv.includes('--no-color') ? { color: false } : {};
  const output = new Output(outputOptions(color, process.env), process.stdout, process.stderr);
  if (error instanceof CliError) {
    process.exitCode = error.exitCode;
    output.error(error.message, error.hint);
  } else {
    process.exitCode = ExitCode.failed;
    output.error(error instanceof Error ? error.message : String(error));
  }
}

/** Commander ends a run that has shown its help by an error. */
function isHelp(error: unknown): error is Error & { exitCode: number } {
  return (
    error instanceof Error &&
    'code' in error &&
    String(error.code).startsWith('commander.') &&
    'exitCode' in error
  );
}
