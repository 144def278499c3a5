import { join } from 'node:path';
import { dataDirectory } from '../paths';
import type { Environment } from '../settings';

/** Where the quickstart keeps what it makes; all paths absolute. */
export interface Layout {
  readonly home: string;
  readonly state: string;
  readonly runDir: string;
  readonly auditLog: string;
  readonly daemonLog: string;
  /** Who runs as the quickstart's daemon. */
  readonly daemonRecord: string;
  readonly lock: string;
  readonly snapshotRoot: string;
  readonly imageRoot: string;
}

/** Longer run directories leave no room for the names of unix sockets (108 bytes in all). */
const RUN_DIR_MAX = 60;

export function quickstartLayout(env: Environment, uid: number = process.getuid?.() ?? 0): Layout {
  const data = dataDirectory(env);
  const home = join(data, 'quickstart');
  const runDir = join(home, 'run');
  return {
    home,
    state: join(home, 'state.json'),
    runDir: Buffer.byteLength(runDir) <= RUN_DIR_MAX ? runDir : `/tmp/forkd-quickstart-${uid}`,
    auditLog: join(home, 'audit.log'),
    daemonLog: join(home, 'daemon.log'),
    daemonRecord: join(home, 'daemon.json'),
    lock: join(home, 'lock.json'),
    snapshotRoot: join(data, 'snapshots'),
    imageRoot: join(data, 'images'),
  };
}
