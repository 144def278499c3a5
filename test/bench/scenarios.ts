import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { commandLine } from '../../src/common/os/proc';
import type { SandboxRecord } from '../../src/modules/registry/domain/records';
import { BareClient } from './bare-client';
import { BenchDaemon } from './daemon';
import { median, privateKib, residentMib } from './processes';
import type { BaselineJob, BaselineResult, Measurement } from './types';

export interface BenchOptions {
  /** How often each spawn is repeated. */
  readonly rounds: number;
  /** How many children are forked and deleted for the check of memory.bin. */
  readonly churn: number;
  readonly say: (text: string) => void;
}

const TAG = 'bench';
const CALLS = 30;

export async function runScenarios(options: BenchOptions): Promise<Measurement[]> {
  const started: number[] = [];
  for (let round = 0; round < 5; round++) {
    const daemon = await BenchDaemon.start();
    started.push(daemon.startMs);
    await daemon.stop();
  }
  const daemon = await BenchDaemon.start();
  try {
    const measurements = [
      atMost('daemon: start to first answer', 'ms', started, 700),
      atMost('daemon: resident memory, idle', 'MiB', [await residentMib(daemon.pid)], 130),
    ];
    options.say('making the snapshot');
    const body = { tag: TAG, image: 'python', mem_size_mib: 256, boot_wait_secs: 60 };
    await daemon.client.json(201, 'POST', '/v1/snapshots', body);
    const job = await baselineJob(daemon);
    for (const n of [1, 10, 30]) measurements.push(...(await spawnScenario(daemon, job, n, options)));
    measurements.push(...(await callScenario(daemon, job, options)));
    measurements.push(await churnScenario(daemon, options));
    return measurements;
  } finally {
    await daemon.stop();
  }
}

/** The arguments of a real child, so that the baseline starts the very same. */
async function baselineJob(daemon: BenchDaemon): Promise<Omit<BaselineJob, 'n' | 'calls'>> {
  const [child] = await spawn(daemon, 1);
  const [binary = '', ...args] = (await commandLine(child?.pid ?? 0)) ?? [];
  await removeAll(daemon, child ? [child] : []);
  const runDir = join(daemon.root, 'run', child?.id ?? '');
  return {
    binary,
    args: args.map((arg) => arg.replaceAll(runDir, '{RUN}')),
    vmstatePath: join(daemon.root, 'snapshots', TAG, 'vmstate'),
    runRoot: join(await mkdtemp('/tmp/fkb-'), 'run'),
  };
}

async function baseline(job: BaselineJob): Promise<BaselineResult> {
  const program = join(__dirname, 'baseline.js');
  const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(job)]);
  return JSON.parse(stdout) as BaselineResult;
}

function spawn(daemon: BenchDaemon, n: number): Promise<SandboxRecord[]> {
  return daemon.client.json(201, 'POST', '/v1/sandboxes', { snapshot_tag: TAG, n });
}

async function removeAll(daemon: BenchDaemon, children: readonly SandboxRecord[]): Promise<void> {
  await Promise.all(children.map(({ id }) => daemon.client.json(204, 'DELETE', `/v1/sandboxes/${id}`)));
}

/** Daemon and baseline take turns, so that a noisy moment hits both. */
async function spawnScenario(
  daemon: BenchDaemon,
  job: Omit<BaselineJob, 'n' | 'calls'>,
  n: number,
  { rounds, say }: BenchOptions,
): Promise<Measurement[]> {
  const times: number[] = [];
  const bareTimes: number[] = [];
  const memory: number[] = [];
  const bareMemory: number[] = [];
  const repeats = n === 1 ? rounds * 3 : rounds;
  for (let round = 0; round < repeats; round++) {
    say(`spawn of ${n}, round ${round + 1} of ${repeats}`);
    const bare = await baseline({ ...job, n, calls: 0 });
    bareTimes.push(bare.wallMs);
    bareMemory.push(...bare.privateKib);
    const begun = performance.now();
    const children = await spawn(daemon, n);
    times.push(performance.now() - begun);
    memory.push(...(await Promise.all(children.map(({ pid }) => privateKib(pid ?? 0)))));
    await removeAll(daemon, children);
  }
  const measurements = [ratio(`spawn over REST, N=${n}`, 'ms', times, bareTimes, n === 1 ? 1.25 : 1.15)];
  if (n === 10) measurements.push(ratio('private memory per idle child', 'KiB', memory, bareMemory, 1.05));
  return measurements;
}

/** Daemon and baseline take turns here, too: how fast a program starts differs from one emulated VM to the next. */
async function callScenario(
  daemon: BenchDaemon,
  job: Omit<BaselineJob, 'n' | 'calls'>,
  { rounds, say }: BenchOptions,
): Promise<Measurement[]> {
  const execMs: number[] = [];
  const evalMs: number[] = [];
  const bareExecMs: number[] = [];
  const bareEvalMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    say(`exec and eval, round ${round + 1} of ${rounds}`);
    const [child] = await spawn(daemon, 1);
    const id = child?.id ?? '';
    execMs.push(...(await timedPosts(daemon.client.port, `/v1/sandboxes/${id}/exec`, { args: ['true'] })));
    evalMs.push(...(await timedPosts(daemon.client.port, `/v1/sandboxes/${id}/eval`, { code: '1+1' })));
    await removeAll(daemon, child ? [child] : []);
    const bare = await baseline({ ...job, n: 1, calls: CALLS });
    bareExecMs.push(...bare.execMs);
    bareEvalMs.push(...bare.evalMs);
  }
  return [
    plus('exec of true over REST, warm', execMs, bareExecMs, 3),
    plus('eval of 1+1 over REST, warm', evalMs, bareEvalMs, 3),
  ];
}

async function timedPosts(port: number, path: string, body: object): Promise<number[]> {
  const client = await BareClient.connect(port);
  const text = JSON.stringify(body);
  const times: number[] = [];
  for (let round = 0; round <= CALLS; round++) {
    const begun = performance.now();
    const status = await client.post(path, text);
    if (status !== 200) throw new Error(`${path}: ${status}`);
    // The first is cold.
    if (round > 0) times.push(performance.now() - begun);
  }
  client.close();
  return times;
}

/** Forks and deletes many children, then looks whether the snapshot changed or anything was left. */
async function churnScenario(daemon: BenchDaemon, { churn, say }: BenchOptions): Promise<Measurement> {
  const memory = join(daemon.root, 'snapshots', TAG, 'memory.bin');
  const hash = await sha256(memory);
  for (let done = 0; done < churn; done += 10) {
    say(`fork and delete, ${done} of ${churn}`);
    await removeAll(daemon, await spawn(daemon, 10));
  }
  const left = (await readdir(join(daemon.root, 'run'))).filter((name) => !name.startsWith('.')).length;
  const sandboxes = await daemon.client.json<unknown[]>(200, 'GET', '/v1/sandboxes');
  const differences = left + sandboxes.length + ((await sha256(memory)) === hash ? 0 : 1);
  return atMost(`changes and leftovers after ${churn} forks and deletes`, '', [differences], 0);
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

export function ratio(
  name: string,
  unit: string,
  samples: number[],
  bare: number[],
  limit: number,
): Measurement {
  const [value, base] = [median(samples), median(bare)];
  return {
    name,
    unit,
    value,
    baseline: base,
    limit: `<= ${limit}x`,
    holds: value <= limit * base,
    samples,
    baselineSamples: bare,
  };
}

function plus(name: string, samples: readonly number[], bare: readonly number[], extra: number): Measurement {
  const [value, base] = [median(samples), median(bare)];
  return {
    name,
    unit: 'ms',
    value,
    baseline: base,
    limit: `<= +${extra} ms`,
    holds: value <= base + extra,
    samples,
    baselineSamples: bare,
  };
}

export function atMost(name: string, unit: string, samples: readonly number[], limit: number): Measurement {
  const value = median(samples);
  return { name, unit, value, limit: `<= ${limit}`, holds: value <= limit, samples };
}
