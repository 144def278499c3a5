import { CliError, ExitCode } from '../errors';

/** What `--env NAME=VALUE` says; a NAME alone takes the value it has here. */
export function environment(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      const name = at < 0 ? pair : pair.slice(0, at);
      const value = at < 0 ? process.env[pair] : pair.slice(at + 1);
      if (name === '') throw new CliError(ExitCode.usage, `--env must be NAME=VALUE, not '${pair}'`);
      if (value === undefined) {
        throw new CliError(
          ExitCode.usage,
          `--env ${name}: there is no such variable here`,
          'Write --env NAME=VALUE.',
        );
      }
      return [name, value];
    }),
  );
}

/** The kind of the terminal this program runs in, for one in a guest. */
export function localTerm(): Record<string, string> {
  const term = process.env['TERM'] ?? '';
  return { TERM: term === '' ? 'xterm' : term };
}

/** @throws CliError when there is no terminal to hand on. */
export function requireTerminal(command: string): void {
  if (process.stdin.isTTY) return;
  throw new CliError(
    ExitCode.usage,
    `${command} needs a terminal, and standard input is none`,
    'In a script use `forkd exec ID -- PROGRAM`, with -i to hand standard input on.',
  );
}

/** The failure of a daemon that has no streams. */
export function tooOld(what: string): CliError {
  return new CliError(
    ExitCode.failed,
    `this daemon is too old for ${what}`,
    'Update it; `forkd status` shows its version.',
  );
}
