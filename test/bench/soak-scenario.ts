import { readdir } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { SandboxRecord } from '../../src/modules/registry/domain/records';
import type { TestClient } from '../support/http';
import { SimulatedHost } from '../support/simulated-host';
import { BenchDaemon } from './daemon';
import { residentMib, threads } from './processes';
import { flat } from './trend';
import type { Measurement } from './types';

export interface SoakOptions {
  /** Sandboxes that come and go on the simulated engine, and on real VMs. */
  readonly simulated: number;
  readonly real: number;
  readonly say: (text: string) => void;
}

/** How often is looked; a look before that, of a tenth of all cycles, does not count. */
const SAMPLES = 50;

interface Holdings {
  readonly resident: number;
  readonly files: number;
  readonly threads: number;
}

/** Whether a daemon that serves for long holds more and more. */
export async function soakScenarios({ simulated, real, say }: SoakOptions): Promise<Measurement[]> {
  return [...(await onSimulatedEngine(simulated, say)), ...(await onRealVms(real, say))];
}

/** Daemon and guests are in this process, so nothing of either may stay. */
async function onSimulatedEngine(cycles: number, say: SoakOptions['say']): Promise<Measurement[]> {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const host = await SimulatedHost.start();
  try {
    await host.snapshot('py');
    return await soak(
      `${cycles} cycles, simulated`,
      cycles,
      () => cycle(host.client, 'py'),
      say,
      async () => {
        // Sockets close in later turns.
        for (let turns = 0; turns < 50; turns++) await turn();
        collectGarbage();
        return holdingsOf(process.pid);
      },
    );
  } finally {
    await host.stop();
  }
}

async function onRealVms(cycles: number, say: SoakOptions['say']): Promise<Measurement[]> {
  const daemon = await BenchDaemon.start();
  try {
    const body = { tag: 'py', image: 'python', mem_size_mib: 128, boot_wait_secs: 60 };
    await daemon.client.json(201, 'POST', '/v1/snapshots', body);
    return await soak(
      `${cycles} cycles, real VMs`,
      cycles,
      () => cycle(daemon.client, 'py'),
      say,
      () => holdingsOf(daemon.pid),
    );
  } finally {
    await daemon.stop();
  }
}

async function cycle(client: TestClient, tag: string): Promise<void> {
  const [child] = await client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', { snapshot_tag: tag });
  await client.json(204, 'DELETE', `/v1/sandboxes/${child?.id ?? ''}`);
}

async function soak(
  what: string,
  cycles: number,
  once: () => Promise<void>,
  say: SoakOptions['say'],
  look: () => Promise<Holdings>,
): Promise<Measurement[]> {
  for (let done = 0; done < cycles / 10; done++) await once();
  const seen: Holdings[] = [];
  for (let sample = 0; sample < SAMPLES; sample++) {
    for (let done = 0; done < cycles / SAMPLES; done++) await once();
    const now = await look();
    seen.push(now);
    if (sample % 10 === 9) {
      const { resident, files, threads: running } = now;
      say(`${what}: ${resident.toFixed(1)} MiB, ${files} open files, ${running} threads`);
    }
  }
  return [
    flat(
      `${what}: growth of resident memory`,
      'MiB',
      seen.map(({ resident }) => resident),
    ),
    flat(
      `${what}: growth of open files`,
      '',
      seen.map(({ files }) => files),
    ),
    flat(
      `${what}: growth of threads`,
      '',
      seen.map(({ threads: running }) => running),
    ),
  ];
}

async function holdingsOf(pid: number): Promise<Holdings> {
  const [resident, files, running] = await Promise.all([
    residentMib(pid),
    readdir(`/proc/${pid}/fd`),
    threads(pid),
  ]);
  return { resident, files: files.length, threads: running };
}
