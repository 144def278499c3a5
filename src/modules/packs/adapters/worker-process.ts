import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { DomainError } from '../../../common/errors/domain-error';
import type { ReadJob, ReadReport, WorkerFailure, WriteJob, WriteReport } from '../domain/jobs';
import type { PackManifest } from '../domain/pack-manifest';

type Worker = ChildProcessByStdio<Writable | null, Readable, Readable>;

/** A line of a worker is a manifest at most. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;
const MAX_STDERR = 16_384;

export interface OpenedPack {
  /** Breaks off with an error when the process fails; the process is killed when it is destroyed. */
  readonly stream: Readable;
  /** What the pack has before compression, in bytes. */
  readonly contentBytes: number;
}

/**
 * Starts the process that writes a pack, and waits for its first bytes.
 *
 * @throws DomainError what was wrong before that; the signal's reason when aborted.
 */
export async function writePack(job: WriteJob, signal: AbortSignal): Promise<OpenedPack> {
  signal.throwIfAborted();
  const worker = start('pack-writer-worker.js', job, 'ignore');
  const kill = (): void => {
    killGroup(worker);
  };
  signal.addEventListener('abort', kill, { once: true });
  const stream = new PassThrough({ highWaterMark: 1024 * 1024 });
  stream.once('close', kill);
  // Somebody listens once it is returned; before that nobody does.
  stream.on('error', () => undefined);
  const content = new Promise<number>((resolve) => {
    eachLine(worker.stderr, (line) => {
      if (line.startsWith('{"content":')) resolve((JSON.parse(line) as WriteReport).content);
    });
  });
  const begun = once(worker.stdout, 'data');
  const ended = failureOf(worker).then((error) => {
    signal.removeEventListener('abort', kill);
    if (error === undefined) stream.end();
    else stream.destroy(error);
    return error;
  });
  worker.stdout.pipe(stream, { end: false });
  const early = await Promise.race([Promise.all([begun, content]).then(() => undefined), ended]);
  signal.throwIfAborted();
  if (early !== undefined) throw early;
  return { stream, contentBytes: await content };
}

/**
 * Runs the process that reads a pack.
 *
 * @param onManifest is told of the manifest before anything is written; what it throws ends the process.
 * @throws DomainError what is wrong with the pack; the signal's reason when aborted. The directory must be removed then.
 */
export async function readPack(
  job: ReadJob,
  pack: Readable,
  onManifest: (manifest: PackManifest) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const worker = start('pack-reader-worker.js', job, 'pipe');
  const kill = (): void => {
    killGroup(worker);
  };
  signal.addEventListener('abort', kill, { once: true });
  const failure = failureOf(worker);
  const seen: { judgement?: Promise<void>; done: boolean } = { done: false };
  eachLine(worker.stdout, (line) => {
    const report = JSON.parse(line) as ReadReport;
    if (report.step === 'done') seen.done = true;
    else {
      seen.judgement = onManifest(report.manifest);
      seen.judgement.catch(kill);
    }
  });
  try {
    const { stdin } = worker;
    // A worker that ends early tells its reason by itself.
    stdin?.on('error', () => undefined);
    if (stdin !== null) pack.pipe(stdin);
    const error = await failure;
    signal.throwIfAborted();
    await seen.judgement;
    if (error !== undefined) throw error;
    if (!seen.done) throw new DomainError('internal', 'the process that unpacks ended without a word');
  } finally {
    signal.removeEventListener('abort', kill);
    pack.unpipe();
  }
}

function start(script: string, job: object, stdin: 'pipe' | 'ignore'): Worker {
  // A group of its own, so that the compressor goes with it.
  return spawn(process.execPath, [join(__dirname, script), JSON.stringify(job)], {
    stdio: [stdin, 'pipe', 'pipe'],
    detached: true,
  }) as Worker;
}

/** Settles when the process has ended and all its output was read. */
function failureOf(worker: Worker): Promise<Error | undefined> {
  let stderr = '';
  worker.stderr.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('utf8')).slice(-MAX_STDERR);
  });
  return new Promise((resolve) => {
    worker.once('error', resolve);
    worker.once('close', (code, killedBy) => {
      resolve(code === 0 ? undefined : asError(stderr, code, killedBy));
    });
  });
}

function asError(stderr: string, code: number | null, signal: string | null): Error {
  const last = stderr.trimEnd().split('\n').at(-1) ?? '';
  try {
    const failure = JSON.parse(last) as WorkerFailure;
    return new DomainError(failure.code, failure.message);
  } catch {
    return new DomainError(
      'internal',
      `the process ended with ${signal ?? `code ${code ?? 0}`}: ${last.slice(0, 300)}`,
    );
  }
}

function killGroup({ pid, exitCode, signalCode }: Worker): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

function eachLine(stream: Readable, take: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).slice(-MAX_LINE_BYTES).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
  });
}
