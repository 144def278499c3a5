import { join } from 'node:path';
import type { DaemonConfig } from '../config/daemon-config';
import { DomainError, errorMessage } from '../errors/domain-error';
import { FileLock, LockHeldError } from '../os/file-lock';
import { CleanupStack } from './cleanup-stack';

/** Held by the one daemon that may use a state file, a run directory and a snapshot root. */
export class SingleInstance {
  private constructor(private readonly locks: CleanupStack) {}

  /**
   * Locks the state file, the run directory and the snapshot root against other daemons: each cleans up there at its start.
   *
   * @throws DomainError naming what is in use and the pid of the daemon that uses it.
   */
  static async claim({
    statePath,
    runDir,
    snapshotRoot,
  }: Pick<DaemonConfig, 'statePath' | 'runDir' | 'snapshotRoot'>): Promise<SingleInstance> {
    const instance = new SingleInstance(new CleanupStack());
    try {
      await instance.lock('--state', statePath, `${statePath}.lock`, 0o750);
      await instance.lock('--run-dir', runDir, join(runDir, '.daemon.lock'), 0o700);
      await instance.lock('--snapshot-root', snapshotRoot, join(snapshotRoot, '.daemon.lock'), 0o700);
      return instance;
    } catch (error) {
      await instance.release();
      throw error;
    }
  }

  /** Lets the next daemon in. */
  async release(): Promise<void> {
    await this.locks.run(() => undefined);
  }

  private async lock(flag: string, what: string, path: string, mode: number): Promise<void> {
    try {
      const lock = await FileLock.acquire(path, mode);
      this.locks.push(() => lock.release());
    } catch (error) {
      if (!(error instanceof LockHeldError)) {
        throw new DomainError(
          'invalid',
          `${flag} ${what} cannot be locked (${path}): ${errorMessage(error)}`,
        );
      }
      const holder = error.pid === undefined ? 'another process' : `another daemon, process ${error.pid},`;
      throw new DomainError(
        'conflict',
        `${holder} uses ${flag} ${what}: stop it first, or give this daemon its own --state, --run-dir and --snapshot-root`,
      );
    }
  }
}
