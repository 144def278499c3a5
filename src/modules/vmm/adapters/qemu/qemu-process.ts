import { spawn, type ChildProcess } from 'node:child_process';
import { open } from 'node:fs/promises';
import { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { DomainError, errnoOf } from '../../../../common/errors/domain-error';
import { isAlive } from '../../../../common/os/proc';
import type { Launch } from '../../domain/vm';
import { CONTROL_FD, LOG_FILE } from './qemu-command';
import type { QemuProcess } from './qemu-vm';

/** Where a program given by its bare name is looked for: not where the daemon's own environment says. */
export const PROGRAM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

interface ProcessEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface StartedQemu {
  /**
   * The process, as soon as somebody can tell its end.
   * @param controlClosed settles when the control connection is gone.
   */
  readonly watch: (controlClosed: Promise<void>) => QemuProcess;
  /** QEMU's control connection. */
  readonly control: Duplex;
}

export interface QemuStartSpec {
  /** A program and its arguments that is QEMU, or becomes it. */
  readonly command: readonly string[];
  readonly runDir: string;
  /** Device state to load, opened here and handed over as a file descriptor. */
  readonly vmstatePath?: string | undefined;
  readonly launch?: Launch | undefined;
  /** Whether a pid belongs to this QEMU. */
  readonly same: (pid: number) => Promise<boolean>;
}

/** Starts QEMU as a session of its own, so that it outlives the daemon and no terminal signal reaches it. */
export async function startQemu(spec: QemuStartSpec): Promise<StartedQemu> {
  const { command, runDir, vmstatePath, launch } = spec;
  const [program = '', ...args] = [...(launch?.prefix ?? []), ...command];
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
    const child = spawn(program, args, {
      detached: true,
      cwd: runDir,
      // Nothing of the daemon's environment, which may hold a token, reaches a process that runs foreign code.
      env: { PATH: PROGRAM_PATH },
      stdio: ['ignore', log.fd, log.fd, vmstate?.fd ?? 'ignore', 'pipe'],
    });
    const ended = new Promise<ProcessEnd>((resolve) => {
      child.once('exit', (code, signal) => {
        resolve({ code, signal });
      });
    });
    await started(child, program);
    const control = child.stdio[CONTROL_FD];
    const { pid } = child;
    if (pid === undefined || !(control instanceof Duplex)) {
      throw new DomainError('internal', 'QEMU was started without a control connection');
    }
    if (launch?.findPid === undefined) return { watch: () => ownProcess(child, pid, ended), control };
    const found = await launchedPid(launch.findPid, ended, control);
    return {
      watch: (closed) => adoptedProcess(found, closed, () => spec.same(found)),
      control,
    };
  } finally {
    await Promise.all([log.close(), vmstate?.close()]);
  }
}

/** The pid of what a launcher started; the launcher's own words, and QEMU's, are in the log. */
async function launchedPid(
  findPid: () => Promise<number | undefined>,
  launcherEnded: Promise<ProcessEnd>,
  control: Duplex,
): Promise<number> {
  // What the launcher had to say about a failure must not be lost to an error of its connection.
  const { code } = await launcherEnded;
  const pid = code === 0 ? await findPid() : undefined;
  if (pid !== undefined) return pid;
  control.destroy();
  throw new LaunchError();
}

/** QEMU did not start, or ended at once; why is in its log. */
export class LaunchError extends Error {}

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
