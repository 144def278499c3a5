import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from '../errors/domain-error';
import { isAlive, parseIdentity, thisProcess } from './process-identity';

/** Never truncates: while the lock is not ours, the content tells who holds it. */
const OPEN_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
/** A holder that was just killed takes a moment to vanish, one that just started to write its name. */
const WAIT_SECONDS = 1;
const IDENTITY_MAX = 1024;

/** Somebody else holds the lock. */
export class LockHeldError extends Error {
  constructor(
    readonly path: string,
    /** Undefined when the holder cannot be named. */
    readonly pid: number | undefined,
  ) {
    super(`${path} is locked by process ${pid ?? 'unknown'}`);
    this.name = 'LockHeldError';
  }
}

/**
 * An exclusive lock (flock) on a file, for the life of this process: the kernel drops it when the process ends in whatever
 * way, so there is no stale lock to judge and no race to take one over. The file stays; it names its last holder.
 */
export class FileLock {
  /** @param file the lock belongs to the open file, so it must not be collected. */
  private constructor(private readonly file: FileHandle) {}

  /**
   * Creates the file, and its directory with `directoryMode`, when they are missing.
   *
   * @throws LockHeldError when another process holds the lock; system errors; Error when `flock` is not installed.
   */
  static async acquire(path: string, directoryMode: number): Promise<FileLock> {
    await mkdir(dirname(path), { recursive: true, mode: directoryMode });
    for (;;) {
      const file = await open(path, OPEN_FLAGS, 0o600);
      try {
        if (!(await lock(file))) throw new LockHeldError(path, await holderOf(file));
        // The lock on a file that was removed meanwhile would keep out nobody.
        if (await isAt(file, path)) {
          await file.truncate();
          await file.write(JSON.stringify(await thisProcess()), 0);
          return new FileLock(file);
        }
      } catch (error) {
        await file.close();
        throw error;
      }
      await file.close();
    }
  }

  async release(): Promise<void> {
    await this.file.close();
  }
}

/** Node has no flock. The lock that util-linux' program takes on our open file outlives the program. */
async function lock(file: FileHandle): Promise<boolean> {
  const child = spawn('flock', ['--exclusive', '--timeout', String(WAIT_SECONDS), '3'], {
    stdio: ['ignore', 'ignore', 'ignore', file.fd],
  });
  let code: unknown;
  try {
    [code] = (await once(child, 'exit')) as unknown[];
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new Error("the program 'flock' is missing, install util-linux", { cause: error });
  }
  if (code === 0) return true;
  if (code === 1) return false;
  throw new Error(`flock ended with status ${String(code)}; does the file system support locks?`);
}

async function isAt(file: FileHandle, path: string): Promise<boolean> {
  try {
    const [mine, current] = [await file.stat({ bigint: true }), await stat(path, { bigint: true })];
    return mine.ino === current.ino && mine.dev === current.dev;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function holderOf(file: FileHandle): Promise<number | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(IDENTITY_MAX), 0, IDENTITY_MAX, 0);
  const identity = parseIdentity(buffer.toString('utf8', 0, bytesRead));
  return (await isAlive(identity)) ? identity.pid : undefined;
}
