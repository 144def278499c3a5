import { CommandRunner } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import { Session } from '../session';
import type { GlobalOptions } from '../settings';
import { didYouMean } from '../suggest';

/** A command that does something: opens a session, runs, closes it on every path. */
export abstract class ForkdCommand<Options extends object = object> extends CommandRunner {
  override async run(args: string[], options: Options): Promise<void> {
    const session = new Session(this.command.optsWithGlobals<GlobalOptions>());
    try {
      await this.execute(session, args, options);
    } finally {
      session.close();
    }
  }

  protected abstract execute(session: Session, args: readonly string[], options: Options): Promise<void>;
}

/** A command that only groups others. */
export abstract class GroupCommand extends CommandRunner {
  override run(args: string[]): Promise<void> {
    return refuseGroup(this.command, args);
  }
}

/** A command without a description is another way to write one that has it. */
export function isListed(command: Command): boolean {
  return command.description() !== '';
}

type Command = Parameters<CommandRunner['setCommand']>[0];

/** Answers a group that was called without one of its commands: help, or which command may have been meant. */
export function refuseGroup(group: Command, [word]: readonly string[]): never {
  if (word === undefined) group.help({ error: true });
  const known = group.commands.filter(isListed).flatMap((command) => [command.name(), ...command.aliases()]);
  throw new CliError(
    ExitCode.usage,
    `unknown command '${group.name()} ${word}'`,
    didYouMean(word, known) ?? `There are: ${known.join(', ')}.`,
  );
}

/** The argument at a place that commander has made sure of. */
export function argument(args: readonly string[], index: number, name: string): string {
  const value = args[index];
  if (value === undefined || value === '') throw new CliError(ExitCode.usage, `${name} is missing or empty`);
  return value;
}

/** A sandbox id, refused before it becomes part of a path. */
export function sandboxId(text: string): string {
  if (/^[A-Za-z0-9_-]+$/.test(text)) return text;
  throw new CliError(
    ExitCode.usage,
    `'${text}' is not a sandbox id`,
    'Ids look like sb-6657e0c0-0000; `forkd ls` shows them.',
  );
}

/** A snapshot's tag, by the daemon's own rule. */
export function snapshotTag(text: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text;
  throw new CliError(
    ExitCode.usage,
    `'${text}' is not a tag`,
    'A tag has 1 to 64 letters, digits, dashes and underscores.',
  );
}

/** A workspace's name, by the daemon's own rule: `ws-NAME-state` must be a tag. */
export function workspaceName(text: string): string {
  if (/^[A-Za-z0-9_-]{1,55}$/.test(text)) return text;
  throw new CliError(
    ExitCode.usage,
    `'${text}' is not a workspace's name`,
    'A name has 1 to 55 letters, digits, dashes and underscores.',
  );
}

/** One of a few words, from a flag. */
export function oneOf<Word extends string>(text: string, flag: string, words: readonly Word[]): Word {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw new CliError(
    ExitCode.usage,
    `${flag} must be ${words.join(', ')}, not '${text}'`,
    didYouMean(text, words),
  );
}

/** A whole number within limits, from a flag. */
export function wholeNumber(text: string, flag: string, least: number, most: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new CliError(
    ExitCode.usage,
    `${flag} must be a whole number from ${least} to ${most}, not '${text}'`,
  );
}
