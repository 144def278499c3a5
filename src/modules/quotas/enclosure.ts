import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DomainError, errnoOf, errorMessage } from '../../common/errors/domain-error';
import type { CgroupSetting } from './domain/cgroup-settings';
import { memoryEvents, type MemoryEvents, NO_MEMORY_EVENTS } from './domain/usage';
import type { CgroupFs } from './ports/cgroup-fs';

/** How a process gets into the group before it runs; the shape of the VMM port's `Launch`. */
export interface EnclosureLaunch {
  readonly prefix: readonly string[];
  readonly findPid: () => Promise<number | undefined>;
}

/** A killed process keeps its group busy until the kernel has torn it down, which takes longer the more memory it had. */
const REMOVE_DEADLINE_MS = 10_000;

/** The cgroup of one VM. */
export class Enclosure {
  private unwatch: (() => void) | undefined;
  private seen: MemoryEvents = NO_MEMORY_EVENTS;

  constructor(
    private readonly fs: CgroupFs,
    readonly dir: string,
    private readonly launcher: string,
    private readonly onEvents: (before: MemoryEvents, after: MemoryEvents) => void,
  ) {}

  /**
   * Makes the group with its limits. Nothing is left when it throws.
   *
   * @throws DomainError internal naming the file that could not be written.
   */
  async create(settings: readonly CgroupSetting[]): Promise<void> {
    try {
      await this.fs.create(this.dir);
      for (const setting of settings) await this.set(setting);
    } catch (error) {
      await this.fs.remove(this.dir).catch(() => undefined);
      throw error;
    }
    this.watch();
  }

  /** Begins to look at a group that an earlier daemon made. */
  async adopt(): Promise<void> {
    this.seen = await this.events();
    this.watch();
  }

  /** Starts a program inside the group; see host/launcher. */
  get launch(): EnclosureLaunch {
    return { prefix: [this.launcher, this.dir], findPid: async () => (await this.pids())[0] };
  }

  /** The processes in the group, as far as they live; none when the group is gone. */
  async pids(): Promise<number[]> {
    const text = await this.read('cgroup.procs');
    return text.split('\n').flatMap((line) => (line === '' ? [] : [Number(line)]));
  }

  /** What has happened at the memory limit so far. */
  async events(): Promise<MemoryEvents> {
    return memoryEvents(await this.read('memory.events'));
  }

  /** The text of one of the group's files; empty when the group or its controller is not there. */
  async read(file: string): Promise<string> {
    try {
      return await this.fs.read(join(this.dir, file));
    } catch (error) {
      if (['ENOENT', 'ENODEV'].includes(errnoOf(error) ?? '')) return '';
      throw error;
    }
  }

  /** Looks once more at what happened, also when the kernel's notice of it has not come yet. */
  async settle(): Promise<MemoryEvents> {
    await this.look();
    return this.seen;
  }

  /** Sends SIGKILL to all processes of the group at once, and to those that they are just starting. */
  async kill(): Promise<void> {
    try {
      await this.fs.write(join(this.dir, 'cgroup.kill'), '1');
    } catch (error) {
      // Before Linux 5.14 there is none; the VM's own process is killed in any case.
      if (!['ENOENT', 'ENODEV', 'EACCES'].includes(errnoOf(error) ?? '')) throw error;
    }
  }

  /** Removes the group when its processes are gone. @throws DomainError internal naming those that do not go. */
  async remove(): Promise<void> {
    this.unwatch?.();
    this.unwatch = undefined;
    const deadline = Date.now() + REMOVE_DEADLINE_MS;
    for (let pause = 1; ; pause = Math.min(2 * pause, 50)) {
      try {
        await this.fs.remove(this.dir);
        return;
      } catch (error) {
        if (errnoOf(error) !== 'EBUSY' || Date.now() > deadline) throw await this.stuck(error);
      }
      await delay(pause);
    }
  }

  private async set({ file, value, optional }: CgroupSetting): Promise<void> {
    try {
      await this.fs.write(join(this.dir, file), value);
    } catch (error) {
      if (optional === true && ['ENOENT', 'EACCES', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) return;
      throw new DomainError('internal', `${join(this.dir, file)} cannot be set to '${value}'`, {
        cause: error,
      });
    }
  }

  private watch(): void {
    try {
      this.unwatch = this.fs.watch(join(this.dir, 'memory.events'), () => void this.look());
    } catch (error) {
      // Without the memory controller there is nothing to be seen; without inotify it is seen when the VM ends.
      if (!['ENOENT', 'ENOSPC', 'EMFILE'].includes(errnoOf(error) ?? '')) throw error;
    }
  }

  private async look(): Promise<void> {
    const now = await this.events().catch(() => this.seen);
    const before = this.seen;
    if (now.oomKills < before.oomKills || now.high < before.high || now.max < before.max) return;
    this.seen = now;
    this.onEvents(before, now);
  }

  private async stuck(error: unknown): Promise<DomainError> {
    const pids = await this.pids().catch(() => []);
    const names = await Promise.all(pids.slice(0, 5).map(nameOf));
    const held = names.length === 0 ? '' : `; it holds ${names.join(', ')}`;
    return new DomainError(
      'internal',
      `the cgroup ${this.dir} cannot be removed (${errorMessage(error)})${held}`,
      {
        cause: error,
      },
    );
  }
}

async function nameOf(pid: number): Promise<string> {
  const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
  return `process ${pid}${name === '' ? '' : ` (${name.trim()})`}`;
}
