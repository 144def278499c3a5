import { execFile } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { SandboxRecord, SnapshotRecord } from '../../src/modules/registry/domain/records';
import { BenchDaemon } from './daemon';
import { atMost, ratio } from './scenarios';
import type { Measurement } from './types';

interface BranchOptions {
  readonly rounds: number;
  readonly say: (text: string) => void;
}

/** What the guest stands still for, what a BRANCH takes in all, and what a chain costs at spawn. */
export async function branchScenarios(options: BranchOptions): Promise<Measurement[]> {
  const daemon = await BenchDaemon.start();
  try {
    const bench = new BranchBench(daemon, options);
    await bench.snapshot('b256', 256);
    await bench.snapshot('b512', 512);
    return [
      ...(await bench.pauses()),
      ...(await bench.againstCp()),
      ...(await bench.chains()),
      // Last: its dirty memory goes with it.
      ...(await bench.dirtyPause()),
    ];
  } finally {
    await daemon.stop();
  }
}

class BranchBench {
  private counter = 0;

  constructor(
    private readonly daemon: BenchDaemon,
    private readonly options: BranchOptions,
  ) {}

  async snapshot(tag: string, mib: number): Promise<void> {
    this.options.say(`making a snapshot of ${mib} MiB`);
    const body = { tag, image: 'python', mem_size_mib: mib, boot_wait_secs: 60 };
    await this.daemon.client.json(201, 'POST', '/v1/snapshots', body);
  }

  /** Guests of both sizes take turns, so that a noisy moment hits both. */
  async pauses(): Promise<Measurement[]> {
    const [small, large] = [await this.fork('b256'), await this.fork('b512')];
    const idle: number[] = [];
    const idleLarge: number[] = [];
    const full: number[] = [];
    for (let round = 0; round < 3 * this.options.rounds; round++) {
      this.options.say(`pauses, round ${round + 1} of ${3 * this.options.rounds}`);
      idle.push(await this.pause(small, 'diff'));
      idleLarge.push(await this.pause(large, 'diff'));
      if (round < this.options.rounds) full.push(await this.pause(small, 'full'));
    }
    await this.remove(small, large);
    return [
      atMost('pause of diff, idle 256 MiB', 'ms', idle, 10),
      ratio('pause of diff, idle 512 MiB against 256 MiB', 'ms', idleLarge, idle, 1.3),
      atMost('pause of full, 256 MiB', 'ms', full, 200),
    ];
  }

  async dirtyPause(): Promise<Measurement[]> {
    const child = await this.fork('b256');
    const code = 'blob = bytearray(50 << 20)\nfor page in range(0, len(blob), 4096): blob[page] = 1';
    await this.daemon.client.json(200, 'POST', `/v1/sandboxes/${child.id}/eval`, { code });
    const pauses: number[] = [];
    for (let round = 0; round < this.options.rounds; round++) {
      this.options.say(`50 MiB dirty, round ${round + 1} of ${this.options.rounds}`);
      pauses.push(await this.pause(child, 'diff'));
    }
    await this.remove(child);
    return [atMost('pause of diff, 50 MiB dirty', 'ms', pauses, 50)];
  }

  /** The whole request against copies of the file it begins with. */
  async againstCp(): Promise<Measurement[]> {
    const child = await this.fork('b256');
    const base = join(this.daemon.root, 'snapshots', 'b256', 'memory.bin');
    const target = join(this.daemon.root, 'copy');
    const times = {
      branch: [] as number[],
      plain: [] as number[],
      auto: [] as number[],
      synced: [] as number[],
    };
    const timed = async (into: number[], work: () => Promise<unknown>): Promise<void> => {
      const begun = performance.now();
      await work();
      into.push(performance.now() - begun);
    };
    for (let round = 0; round < 3 * this.options.rounds; round++) {
      this.options.say(`BRANCH against cp, round ${round + 1} of ${3 * this.options.rounds}`);
      const tag = this.nextTag();
      await timed(times.branch, () => this.branch(child, { tag, mode: 'diff' }));
      await this.removeTag(tag);
      for (const [into, flags] of [
        [times.plain, []],
        [times.auto, ['--reflink=auto', '--sparse=auto']],
      ] as const) {
        await timed(into, () => promisify(execFile)('cp', [...flags, base, target]));
        await rm(target);
      }
      await timed(times.synced, async () => {
        await promisify(execFile)('cp', [base, target]);
        await sync(target);
      });
      await rm(target);
    }
    await this.remove(child);
    const whole = 'whole BRANCH diff, 256 MiB base, against';
    return [
      ratio(`${whole} cp`, 'ms', times.branch, times.plain, 1.3),
      ratio(`${whole} cp --reflink=auto --sparse=auto`, 'ms', times.branch, times.auto, 1.3),
      // Not a promise but the fairer comparison: a BRANCH that was answered survives a loss of power.
      ratio(`${whole} cp and fsync`, 'ms', times.branch, times.synced, 1.3),
    ];
  }

  /** Spawns from chains of 1, 2 and 3 links, and from the same memory as a flat snapshot, in turns. */
  async chains(): Promise<Measurement[]> {
    const names = ['flat', 'd1', 'd2', 'd3'] as const;
    const all = new Map<string, number[]>(names.map((name) => [name, []]));
    const first = new Map<string, number[]>(names.map((name) => [name, []]));
    // A first spawn is had once a round.
    for (let round = 0; round < 3 * this.options.rounds; round++) {
      this.options.say(`chains, round ${round + 1} of ${3 * this.options.rounds}`);
      let parent = 'b256';
      for (const tag of names.slice(1)) {
        const source = await this.fork(parent);
        await this.branch(source, { tag, mode: 'diff', parent_tag: parent });
        await this.remove(source);
        parent = tag;
      }
      await this.daemon.client.json(200, 'POST', `/v1/snapshots/${parent}/compact`, { to: 'flat' });
      for (let repeat = 0; repeat < 5; repeat++) {
        // Another begins each time, as what comes first finds the machine colder.
        for (let index = 0; index < names.length; index++) {
          const name = names[(index + round + repeat) % names.length] ?? 'flat';
          const begun = performance.now();
          const child = await this.fork(name);
          const took = performance.now() - begun;
          (repeat === 0 ? first : all).get(name)?.push(took);
          await this.remove(child);
        }
      }
      await this.removeTag('flat');
      await this.daemon.client.json(204, 'DELETE', '/v1/snapshots/d1?cascade=true');
    }
    return names
      .slice(1)
      .flatMap((name) => [
        ratio(
          `spawn from a chain, ${name} against flat`,
          'ms',
          all.get(name) ?? [],
          all.get('flat') ?? [],
          1.1,
        ),
        ratio(`first spawn, ${name} against flat`, 'ms', first.get(name) ?? [], first.get('flat') ?? [], 1.1),
      ]);
  }

  private async fork(tag: string): Promise<SandboxRecord> {
    const [child] = await this.daemon.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: tag,
    });
    if (!child) throw new Error('no child');
    return child;
  }

  private branch(source: SandboxRecord, body: object): Promise<SnapshotRecord> {
    return this.daemon.client.json(201, 'POST', `/v1/sandboxes/${source.id}/branch`, body);
  }

  private async pause(source: SandboxRecord, mode: string): Promise<number> {
    const { tag, pause_ms: pause } = await this.branch(source, { tag: this.nextTag(), mode });
    await this.removeTag(tag);
    return pause ?? Number.NaN;
  }

  private async remove(...sandboxes: readonly SandboxRecord[]): Promise<void> {
    for (const { id } of sandboxes) await this.daemon.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
  }

  private removeTag(tag: string): Promise<void> {
    return this.daemon.client.json(204, 'DELETE', `/v1/snapshots/${tag}`);
  }

  private nextTag(): string {
    return `x${this.counter++}`;
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
