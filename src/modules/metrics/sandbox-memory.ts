import { readFile } from 'node:fs/promises';
import { Limiter } from '../../common/lifecycle/limiter';
import { type MemoryUse, parseSmapsRollup } from './domain/smaps-rollup';
import { Refreshed } from './refreshed';

/** The kernel walks the page tables of the process for it, some milliseconds for each GiB. */
const MAX_AGE_MS = 10_000;
/** Processes that are looked at in one go: those that waited longest. Of the others the last figures count. */
const BUDGET = 64;
/** Leaves most of Node's threads for the work of the daemon. */
const AT_ONCE = 2;

export interface SandboxUse {
  readonly snapshot: string;
  readonly use: MemoryUse;
}

export interface SandboxProcess {
  readonly id: string;
  readonly snapshot_tag: string;
  readonly pid: number | null;
}

interface Known {
  readonly use: MemoryUse | undefined;
  readonly turn: number;
}

/** The memory of all VM processes, at a cost that does not grow with their number. */
export class SandboxMemory {
  private known = new Map<string, Known>();
  private turn = 0;
  private readonly limiter = new Limiter(AT_ONCE);
  private readonly uses: Refreshed<readonly SandboxUse[]>;

  constructor(
    private readonly processes: () => readonly SandboxProcess[],
    private readonly read: (pid: number) => Promise<string> = (pid) =>
      readFile(`/proc/${pid}/smaps_rollup`, 'utf8'),
    maxAgeMs = MAX_AGE_MS,
  ) {
    this.uses = new Refreshed<readonly SandboxUse[]>([], maxAgeMs, () => this.refresh());
  }

  /** What is known of each sandbox that runs. */
  get(): Promise<readonly SandboxUse[]> {
    return this.uses.get();
  }

  private async refresh(): Promise<readonly SandboxUse[]> {
    this.turn += 1;
    const running = this.processes().flatMap(({ id, snapshot_tag: snapshot, pid }) =>
      pid === null ? [] : [{ id, snapshot, pid }],
    );
    const known = new Map(running.flatMap(({ id }) => entryOf(this.known, id)));
    this.known = known;
    const due = [...running]
      .sort((a, b) => (known.get(a.id)?.turn ?? 0) - (known.get(b.id)?.turn ?? 0))
      .slice(0, BUDGET);
    await Promise.all(
      due.map(({ id, pid }) =>
        this.limiter.run(async () => {
          // One that has just ended, or belongs to another user, has no figure.
          const text = await this.read(pid).catch(() => '');
          known.set(id, { use: parseSmapsRollup(text), turn: this.turn });
        }),
      ),
    );
    return running.flatMap(({ id, snapshot }) => {
      const use = known.get(id)?.use;
      return use === undefined ? [] : [{ snapshot, use }];
    });
  }
}

function entryOf<T>(map: ReadonlyMap<string, T>, key: string): [string, T][] {
  const value = map.get(key);
  return value === undefined ? [] : [[key, value]];
}
