#!/usr/bin/env node
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { Command, CommandFactory, CommandRunner, InjectCommander } from 'nest-commander';
import { ConfigError } from './common/config/config-error';
import { type Flags, loadConfig } from './common/config/load-config';
import { SETTINGS } from './common/config/settings';
import { errorChain } from './common/errors/domain-error';
import { VERSION } from './common/version';

const NAME = 'forkd-controller';
/** The command line or the environment is wrong; nothing was created. */
const EXIT_USAGE = 2;
const EXIT_FAILURE = 1;

type Commander = Parameters<CommandRunner['setCommand']>[0];

@Command({ name: 'serve', description: 'run the daemon in the foreground' })
class ServeCommand extends CommandRunner {
  constructor(@InjectCommander() root: Commander) {
    super();
    root.name(NAME).description('Daemon that forks microVM sandboxes copy-on-write from a warm snapshot');
  }

  /** Declares one option per setting, so that flags, environment and help come from one table. */
  override setCommand(command: Commander): this {
    for (const { flag, value, meaning, env, fallback } of SETTINGS) {
      const option = value === undefined ? `--${flag}` : `--${flag} <${value}>`;
      command.option(option, `${meaning} (env ${env}; default ${fallback})`);
    }
    command
      .allowExcessArguments(false)
      .exitOverride(exit)
      .addHelpText(
        'after',
        '\nFORKD_LOG, or RUST_LOG, sets the log level: trace, debug, info (default), warn, error, off.',
      );
    return super.setCommand(command);
  }

  async run(): Promise<void> {
    const options: Record<string, unknown> = this.command.opts();
    const flags: Record<string, string> = {};
    for (const { flag } of SETTINGS) {
      const value = options[flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
      if (typeof value === 'string' || value === true) flags[flag] = String(value);
    }
    await start(flags);
  }
}

@Module({ providers: [ServeCommand] })
class MainModule {}

async function start(flags: Flags): Promise<void> {
  const config = loadConfig(flags, process.env);
  const { serve } = await import('./serve.js');
  const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = process.env;
  // What the daemon starts has nothing to tell the service manager.
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'])
    Reflect.deleteProperty(process.env, name);
  await serve(config, { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID });
}

/** Commander has already printed what is to be said. */
function exit(error: Error & { exitCode?: number }): never {
  process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE);
}

function fail(error: unknown): never {
  process.stderr.write(`${NAME}: ${errorChain(error).replaceAll('\n', ' ')}\n`);
  process.exit(error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILURE);
}

CommandFactory.run(MainModule, {
  cliName: NAME,
  version: `${NAME} ${VERSION}`,
  errorHandler: exit,
  serviceErrorHandler: fail,
}).then(() => process.exit(0), fail);
