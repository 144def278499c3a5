import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { diskOf } from '../../../src/modules/quotas/adapters/block-devices';
import { KernelCgroupFs } from '../../../src/modules/quotas/adapters/kernel-cgroup-fs';
import { openSubtree } from '../../../src/modules/quotas/cgroup-subtree';
import { cgroupSettings } from '../../../src/modules/quotas/domain/cgroup-settings';
import type { HeldLimits } from '../../../src/modules/quotas/domain/limits';
import { ioTotals, keyedNumbers } from '../../../src/modules/quotas/domain/usage';
import { Enclosure } from '../../../src/modules/quotas/enclosure';

/** What became of a program under limits. */
export interface EnclosedResult {
  readonly controllers: readonly string[];
  /** Whether all of it ended by itself. */
  readonly ended: boolean;
  readonly seconds: number;
  /** By the kernel's notices, without having been asked. */
  readonly oomKillsNoticed: number;
  readonly oomKills: number;
  readonly cpuUsec: number;
  readonly throttledUsec: number;
  readonly readBytes: number;
  readonly pidsRefused: number;
  readonly files: Readonly<Record<string, string>>;
}

interface Job {
  readonly launcher: string;
  readonly limits: HeldLimits;
  readonly seconds: number;
  readonly command: readonly string[];
}

/** Runs a command in a cgroup of the kernel as a VM would be, and prints what became of it: node enclosed-program.js JOB. */
async function main({ launcher, limits, seconds, command }: Job): Promise<EnclosedResult> {
  const fs = new KernelCgroupFs();
  const root = join((await fs.mountPoint()) ?? '', 'forkd-test');
  const subtree = await openSubtree(fs, { root, realm: 'realm', pid: process.pid });
  if (typeof subtree === 'string') throw new Error(subtree);
  let oomKillsNoticed = 0;
  const enclosure = new Enclosure(fs, join(subtree.dir, 'sb-1'), launcher, (before, after) => {
    oomKillsNoticed += after.oomKills - before.oomKills;
  });
  const disk = (await diskOf('/')) ?? '';
  await enclosure.create(cgroupSettings(limits, subtree.controllers, [disk]));
  const begun = performance.now();
  const [program = '', ...args] = [...enclosure.launch.prefix, ...command];
  const child = spawn(program, args, { stdio: 'ignore', detached: true });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`the launcher ended with ${String(code)}`);
  const deadline = begun + 1000 * seconds;
  while ((await enclosure.pids()).length > 0 && performance.now() < deadline) await delay(20);
  const ended = (await enclosure.pids()).length === 0;
  const took = (performance.now() - begun) / 1000;
  const noticed = oomKillsNoticed;
  const cpu = keyedNumbers(await enclosure.read('cpu.stat'));
  const names = [
    'memory.max',
    'memory.high',
    'memory.swap.max',
    'memory.oom.group',
    'cpu.max',
    'pids.max',
    'io.max',
  ];
  const result = {
    controllers: [...subtree.controllers],
    ended,
    seconds: took,
    oomKillsNoticed: noticed,
    oomKills: (await enclosure.settle()).oomKills,
    cpuUsec: cpu.get('usage_usec') ?? 0,
    throttledUsec: cpu.get('throttled_usec') ?? 0,
    readBytes: ioTotals(await enclosure.read('io.stat')).read_bytes,
    pidsRefused: keyedNumbers(await enclosure.read('pids.events')).get('max') ?? 0,
    files: Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, (await enclosure.read(name)).trim()] as const)),
    ),
  };
  await enclosure.kill();
  await enclosure.remove();
  return result;
}

if (require.main === module) {
  void main(JSON.parse(process.argv[2] ?? '{}') as Job).then(
    (result) => {
      process.stdout.write(JSON.stringify(result));
    },
    (error: unknown) => {
      process.stderr.write(String(error));
      process.exitCode = 1;
    },
  );
}
