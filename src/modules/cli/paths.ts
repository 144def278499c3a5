import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Environment } from './settings';

/** The user's data directory for forkd: `$XDG_DATA_HOME/forkd`, else `~/.local/share/forkd`. */
export function dataDirectory(env: Environment): string {
  const xdg = env['XDG_DATA_HOME'];
  const base = xdg === undefined || xdg === '' ? join(homedir(), '.local/share') : resolve(xdg);
  return join(base, 'forkd');
}

/** Where images are kept: the flag, else FORKD_IMAGE_ROOT, else beside the default snapshot root. */
export function imageRoot(flag: string | undefined, env: Environment): string {
  const chosen = flag ?? env['FORKD_IMAGE_ROOT'];
  return chosen === undefined || chosen === '' ? join(dataDirectory(env), 'images') : resolve(chosen);
}
