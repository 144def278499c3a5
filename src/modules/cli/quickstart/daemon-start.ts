import { spawn, type ChildProcess } from 'node:child_process';
import { watch } from 'node:fs';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { ApiClient } from '../api/client';
import { CliError, ExitCode } from '../errors';
import type { Environment } from '../settings';
import type { Layout } from './layout';
import { identify } from './process-identity';
import { removeRecord, writeRecord, type DaemonRecord } from './record-file';

export interface DaemonStart {
  /** dist/main.js */
  readonly entry: string;
  readonly layout: Layout;
  readonly port: number;
  /** Kept in the record. */
  readonly build: string;
  /** Client for the address the daemon will have. */
  readonly api: ApiClient;
  readonly env: Environment;
  readonly signal: AbortSignal;
}

const READY_MS = 60_000;
const STOP_MS = 10_000;
const LOG_LINES = 15;

/** Starts the daemon in a session of its own and settles when it answers; when it does not, nothing of it is left. */
export async function startDaemon(start: DaemonStart): Promise<DaemonRecord> {
  const { layout, port, signal } = start;
  signal.throwIfAborted();
  await mkdir(layout.home, { recursive: true, mode: 0o700 });
  await rename(layout.daemonLog, `${layout.daemonLog}.1`).catch(() => undefined);
  const log = await open(layout.daemonLog, 'a', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, [start.entry, 'serve', ...daemonFlags(layout, port)], {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      cwd: '/',
      env: daemonEnvironment(start.env),
    });
  } finally {
    await log.close();
  }
  try {
    await untilReady(child, start);
    const identity = await identify(child.pid ?? 0);
    if (identity === undefined) throw await daemonFailure('it ended right after its start', layout);
    const record = { ...identity, port, build: start.build };
    await writeRecord(layout.daemonRecord, record);
    child.unref();
    return record;
  } catch (error) {
    await end(child);
    await removeRecord(layout.daemonRecord);
    throw error;
  }
}

/** Rejects when something listens on the port already. */
export async function requireFreePort(port: number, api: ApiClient): Promise<void> {
  const free = await new Promise<boolean>((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else if (error.code === 'EACCES') {
        reject(new CliError(ExitCode.usage, `port ${port} needs root`, 'Take one above 1023 with --port.'));
      } else reject(error);
    });
    server.listen(port, '127.0.0.1', () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
  if (free) return;
  const forkd = await api.health(2_000).then(
    () => true,
    () => false,
  );
  throw new CliError(
    ExitCode.conflict,
    `port ${port} is taken by ${forkd ? 'a forkd daemon that the quickstart did not start' : 'another program'}`,
    `Take another one with --port, or find out who it is: ss -ltnp 'sport = :${port}'`,
  );
}

/** A failure of the daemon with the end of its log, where the reason is. */
export async function daemonFailure(reason: string, layout: Layout): Promise<CliError> {
  const text = await readFile(layout.daemonLog, 'utf8').catch(() => '');
  const tail = text.trimEnd().split('\n').slice(-LOG_LINES).join('\n');
  const shown = tail === '' ? 'Its log is empty' : `The end of its log:\n${tail}\nAll of it`;
  return new CliError(
    ExitCode.failed,
    `the daemon is not there: ${reason}`,
    `${shown}: ${layout.daemonLog}\nWhen the cause is gone, run this again; it goes on where it stopped.`,
  );
}

function daemonFlags(layout: Layout, port: number): string[] {
  return [
    ['--bind', `127.0.0.1:${port}`],
    ['--state', layout.state],
    ['--run-dir', layout.runDir],
    ['--audit-log', layout.auditLog],
    ['--snapshot-root', layout.snapshotRoot],
    ['--image-root', layout.imageRoot],
  ].flat();
}

/** The user's settings for another daemon must not reach this one; what tunes any daemon may. */
function daemonEnvironment(env: Environment): NodeJS.ProcessEnv {
  const kept = new Set(['FORKD_LOG', 'FORKD_ENGINE']);
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !name.startsWith('FORKD_') || kept.has(name)),
  );
}

/** Every line the daemon logs is an occasion to ask it; so no time is slept away. */
function untilReady(child: ChildProcess, start: DaemonStart): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    let settled = false;
    let asking = false;
    let again = false;
    const watcher = watch(start.layout.daemonLog);
    const settle = (finish: () => void): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      watcher.close();
      start.signal.removeEventListener('abort', onAbort);
      child.off('exit', onExit);
      child.off('error', onError);
      finish();
    };
    const fail = (reason: string): void => {
      settle(() => {
        void daemonFailure(reason, start.layout).then(reject);
      });
    };
    const onError = (error: Error): void => {
      fail(error.message);
    };
    const onExit = (code: number | null, signal: string | null): void => {
      fail(`it ended with ${signal ?? `code ${String(code)}`}`);
    };
    const onAbort = (): void => {
      settle(() => {
        reject(new Error('interrupted'));
      });
    };
    const ask = (): void => {
      if (asking) {
        again = true;
        return;
      }
      asking = true;
      start.api.health(2_000).then(
        () => {
          settle(resolve);
        },
        () => {
          asking = false;
          if (again && !settled) {
            again = false;
            ask();
          }
        },
      );
    };
    const timer = setTimeout(() => {
      fail(`it did not answer within ${READY_MS / 1000} s`);
    }, READY_MS);
    watcher.on('change', ask);
    watcher.on('error', onError);
    child.once('exit', onExit);
    child.once('error', onError);
    start.signal.addEventListener('abort', onAbort, { once: true });
    if (start.signal.aborted) onAbort();
    else ask();
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
  });
  child.kill('SIGTERM');
  const force = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(force);
}
