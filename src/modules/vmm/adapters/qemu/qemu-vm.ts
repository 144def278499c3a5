import { createConnection, type Socket } from 'node:net';
import { open } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { DomainError } from '../../../../common/errors/domain-error';
import { type FileMapping, fileMappings, openFilePath } from '../../../../common/os/proc';
import type { GuestMemoryMap, VmExit } from '../../domain/vm';
import { RunningVm } from '../../ports/vmm-engine';
import { AGENT_SOCKET, CONSOLE_BYTES, LOG_FILE } from './qemu-command';
import type { QmpClient } from './qmp-client';

const LAST_WORDS_BYTES = 2048;

/** How the process behind a VM is watched and ended: differently for our own child and for an adopted one. */
export interface QemuProcess {
  readonly pid: number;
  /** Settles when the process is gone. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  /** Sends SIGKILL, to this process and no other. */
  kill(): Promise<void>;
  /** Lets the daemon end although this process runs on. */
  release(): void;
}

/** A VM run by QEMU. */
export class QemuVm extends RunningVm {
  readonly exited: Promise<VmExit>;
  private gone = false;
  private channel: Socket | undefined;
  private memoryMap: Promise<GuestMemoryMap> | undefined;

  constructor(
    private readonly process: QemuProcess,
    private readonly qmp: QmpClient,
    private readonly runDir: string,
    readonly memoryBytes: number,
    /** Settles when QEMU takes commands. */
    private readonly ready: Promise<void> = Promise.resolve(),
  ) {
    super();
    // Told to whoever gives a command.
    ready.catch(() => undefined);
    this.exited = process.ended.then(async (end) => {
      this.gone = true;
      qmp.close();
      this.channel?.destroy();
      return { ...end, lastWords: await lastWords(runDir) };
    });
  }

  get pid(): number {
    return this.process.pid;
  }

  openChannel(): Promise<Duplex> {
    this.channel?.destroy();
    const path = `${this.runDir}/${AGENT_SOCKET}`;
    return new Promise((resolve, reject) => {
      const socket = createConnection(path);
      this.channel = socket;
      const refuse = (error: Error): void => {
        reject(
          new DomainError('internal', `the VM's agent channel cannot be opened: ${error.message}`, {
            cause: error,
          }),
        );
      };
      socket.once('error', refuse);
      socket.once('connect', () => {
        socket.off('error', refuse);
        resolve(socket);
      });
    });
  }

  async pause(): Promise<void> {
    await this.command('stop');
  }

  async resume(): Promise<void> {
    await this.command('cont');
  }

  async saveDeviceState(path: string): Promise<void> {
    // Not "live": that would take the block devices away from the VM, which runs on afterwards.
    await this.command('xen-save-devices-state', { filename: path, live: false }, 60_000);
  }

  guestMemory(): Promise<GuestMemoryMap> {
    // It stays where it is, so it is looked for once; what was not found may be there a moment later.
    return (this.memoryMap ??= this.findMemory().catch((error: unknown) => {
      this.memoryMap = undefined;
      throw error;
    }));
  }

  private async findMemory(): Promise<GuestMemoryMap> {
    // By size, not by name: the snapshot may have been renamed or deleted since. Nothing else that QEMU maps is as large.
    const lengthOf = (mappings: readonly FileMapping[]): number =>
      mappings.reduce((sum, { start, end }) => sum + Number(end - start), 0);
    const groups = [...(await fileMappings(this.pid)).entries()];
    const [file, mappings] = groups.find(([, each]) => lengthOf(each) === this.memoryBytes) ?? [];
    const inode = file?.split(' ')[1] ?? '';
    const backingPath = await openFilePath(this.pid, inode, this.memoryBytes);
    if (!mappings || backingPath === undefined) {
      throw new DomainError(
        'internal',
        `QEMU (pid ${this.pid}) has no mapping of a file of ${this.memoryBytes} bytes, which would be the guest's memory`,
      );
    }
    const regions = mappings.map(({ start, end, offset }) => ({
      address: start,
      length: Number(end - start),
      fileOffset: offset,
    }));
    return { pid: this.pid, regions, backingPath };
  }

  async console(): Promise<string> {
    if (this.gone) throw new DomainError('internal', `the VM (pid ${this.pid}) has ended`);
    const text = await this.command('ringbuf-read', { device: 'console', size: CONSOLE_BYTES });
    return typeof text === 'string' ? text : '';
  }

  async kill(): Promise<void> {
    if (!this.gone) await this.process.kill();
    await this.exited;
  }

  private async command(...command: Parameters<QmpClient['execute']>): Promise<unknown> {
    await this.ready;
    return this.qmp.execute(...command);
  }

  release(): void {
    this.process.release();
    this.qmp.close();
    this.channel?.destroy();
  }
}

/** What QEMU says of a network card that is connected to nothing, as it is meant to be (net/net.c of QEMU 5 and later). */
const UNCONNECTED_CARD = /^.*: warning: hub \d+ is not connected to host network\n?/gm;

/** The end of QEMU's own output; empty when there is none. */
export async function lastWords(runDir: string): Promise<string> {
  try {
    const file = await open(`${runDir}/${LOG_FILE}`, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.min(size, LAST_WORDS_BYTES);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8', 0, bytesRead).replace(UNCONNECTED_CARD, '').trim();
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
}
