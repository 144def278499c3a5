import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliError, ExitCode } from './errors';

/** The checkout or package this program runs from. */
export interface Installation {
  readonly root: string;
  readonly version: string;
  readonly daemonEntry: string;
  readonly imageToolEntry: string;
}

const PACKAGE = 'forkd-controller';

/** Walks up from a directory to the package it belongs to. */
export function findInstallation(from: string = __dirname): Installation {
  for (let directory = from; ; directory = dirname(directory)) {
    const version = packageVersion(directory);
    if (version !== undefined) {
      return {
        root: directory,
        version,
        daemonEntry: join(directory, 'dist', 'main.js'),
        imageToolEntry: join(directory, 'dist', 'image-tool.js'),
      };
    }
    if (dirname(directory) === directory) {
      throw new CliError(
        ExitCode.failed,
        `no package.json of ${PACKAGE} above ${from}`,
        'Install forkd again: its files were moved apart.',
      );
    }
  }
}

function packageVersion(directory: string): string | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { name, version } = parsed as { name?: unknown; version?: unknown };
  return name === PACKAGE && typeof version === 'string' ? version : undefined;
}
