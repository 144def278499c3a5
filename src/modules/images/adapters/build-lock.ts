import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf } from '../../../common/errors/domain-error';
import {
  isAlive,
  parseIdentity,
  type ProcessIdentity,
  thisProcess,
} from '../../../common/os/process-identity';

const RETRY_MS = 200;

/**
 * Runs `task` while no other process holds the lock file. A lock whose holder is gone (by pid and start time) is taken
 * over. Two processes could hold it for a moment when both find the same dead holder; what the lock guards is written
 * atomically, so that only costs work.
 *
 * @param onWait called once with the holder's pid when the lock is taken.
 */
export async function withLockFile<T>(
  path: string,
  task: () => Promise<T>,
  onWait: (pid: number) => void,
  signal: AbortSignal | undefined,
): Promise<T> {
  await acquire(path, onWait, signal);
  try {
    return await task();
  } finally {
    await rm(path, { force: true });
  }
}

async function acquire(
  path: string,
  onWait: (pid: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const mine = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(mine, JSON.stringify(await thisProcess()));
  try {
    let told = false;
    while (!(await tryLink(mine, path))) {
      signal?.throwIfAborted();
      const holder = await readHolder(path);
      if (holder === undefined) continue;
      if (!(await isAlive(holder))) {
        await dropStale(path, `${mine}.stale`, holder);
        continue;
      }
      if (!told) onWait(holder.pid);
      told = true;
      await delay(RETRY_MS, undefined, signal && { signal });
    }
  } finally {
    await rm(mine, { force: true });
  }
}

/** A link makes the file appear with its content, which exclusive creation would not. */
async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Undefined when the lock has just been released. A file that is no lock has the identity of no process. */
async function readHolder(path: string): Promise<ProcessIdentity | undefined> {
  try {
    return parseIdentity(await readFile(path, 'utf8'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Moves the lock aside; puts it back when it turns out to be the lock of somebody who was faster. */
async function dropStale(path: string, aside: string, holder: ProcessIdentity): Promise<void> {
  try {
    await rename(path, aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  const moved = parseIdentity(await readFile(aside, 'utf8'));
  if (moved.pid !== holder.pid || moved.startTime !== holder.startTime) await tryLink(aside, path);
  await rm(aside, { force: true });
}
