import { spawn, type ChildProcess } from 'node:child_process';
import { open } from 'node:fs/promises';
import { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { DomainError, errnoOf } from '../../../../common/errors/domain-error';
import { isAlive } from '../../../../common/os/proc';
import { CONTROL_FD, LOG_FILE } from './qemu-command';
import type { QemuProcess } from './qemu-vm';

/** Where a program given by its bare name is looked for: not where the daemon's own environment says. */
export const PROGRAM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface StartedQemu {
  readonly process: QemuProcess;
  /** QEMU's control connection. */
  readonly control: Duplex;
}

/**
 * Starts QEMU as a session of its own, so that it outlives the daemon and no terminal signal reaches it.
 * @param vmstatePath device state to load, opened here and handed over as a file descriptor.
 */
export async function startQemu(
  binary: string,
  args: readonly string[],
  runDir: string,
  vmstatePath: string | undefined,
): Promise<StartedQemu> {
  const log = await open(`${runDir}/${LOG_FILE}`, 'a', 0o600);
  const vmstate =
    vmstatePath === undefined
      ? undefined
      : await open(vmstatePath, 'r').catch(async (error: unknown) => {
          await log.close();
          throw new DomainError('internal', `cannot read the snapshot's vmstate: ${String(error)}`, {
            cause: error,
          });
        });
  try {
    const child = spawn(binary, args, {
      detached: true,
      cwd: runDir,
      // Nothing of the daemon's environment, which may hold a token, reaches a process that runs foreign code.
      env: { PATH: PROGRAM_PATH },
      stdio: ['ignore', log.fd, log.fd, vmstate?.fd ?? 'ignore', 'pipe'],
    });
    const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
      child.once('exit', (code, signal) => {
        resolve({ code, signal });
      });
    });
    await started(child, binary);
    const control = child.stdio[CONTROL_FD];
    if (child.pid === undefined || !(control instanceof Duplex)) {
      throw new DomainError('internal', 'QEMU was started without a control connection');
    }
    return { process: ownProcess(child, child.pid, ended), control };
  } finally {
    await Promise.all([log.close(), vmstate?.close()]);
  }
}

function started(child: ChildProcess, binary: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      const hint =
        errnoOf(error) === 'ENOENT' ? '; install it (Debian: apt-get install qemu-system-x86)' : '';
      reject(
        new DomainError('internal', `cannot start ${binary}: ${error.message}${hint}`, { cause: error }),
      );
    });
  });
}

function ownProcess(child: ChildProcess, pid: number, ended: QemuProcess['ended']): QemuProcess {
  return {
    pid,
    ended,
    kill: () => {
      // Node signals a child by its pid only while it has not been reaped, so no other process can be hit.
      child.kill('SIGKILL');
      return Promise.resolve();
    },
    release: () => {
      child.unref();
    },
  };
}

/**
 * A QEMU that an earlier daemon started. Its end shows in its control connection, which only the process itself holds.
 * @param same whether the pid still belongs to it.
 */
export function adoptedProcess(
  pid: number,
  controlClosed: Promise<void>,
  same: () => Promise<boolean>,
): QemuProcess {
  const ended = controlClosed.then(async () => {
    // The connection closes while the kernel tears the process down; there is no event for the end of another's child.
    while ((await isAlive(pid)) && (await same())) await delay(5);
    return { code: null, signal: null };
  });
  return {
    pid,
    ended,
    kill: async () => {
      if (await same()) killPid(pid);
    },
    release: () => undefined,
  };
}

/** Sends SIGKILL; a process that is gone already is no error. */
export function killPid(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}
