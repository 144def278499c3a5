import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CliError, ExitCode } from '../errors';
import { identify, isAlive, type ProcessIdentity } from './process-identity';

/** The quickstart's daemon, as a later run finds it. */
export interface DaemonRecord extends ProcessIdentity {
  readonly port: number;
  /** Which build it runs; empty when the build has no stamp. */
  readonly build: string;
}

export async function readDaemonRecord(path: string): Promise<DaemonRecord | undefined> {
  const record = await readRecord(path);
  const port = record?.['port'];
  const identity = toIdentity(record);
  const build = record?.['build'];
  if (identity === undefined || typeof port !== 'number') return undefined;
  return { ...identity, port, build: typeof build === 'string' ? build : '' };
}

/** Written whole or not at all. */
export async function writeRecord(path: string, record: object): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  await rename(temporary, path);
}

export async function removeRecord(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Makes sure that one quickstart runs at a time for this user. Gives the function that ends the hold. */
export async function takeLock(path: string): Promise<() => Promise<void>> {
  const own = await identify(process.pid);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  for (;;) {
    try {
      await writeFile(path, JSON.stringify(own), { flag: 'wx', mode: 0o600 });
      return () => removeRecord(path);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const holder = toIdentity(await readRecord(path));
    if (holder !== undefined && (await isAlive(holder))) {
      throw new CliError(
        ExitCode.conflict,
        `another quickstart is at work (process ${holder.pid})`,
        'Wait until it has ended, or stop it.',
      );
    }
    await removeRecord(path);
  }
}

async function readRecord(path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    const parsed: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function toIdentity(record: Readonly<Record<string, unknown>> | undefined): ProcessIdentity | undefined {
  const { pid, startTime, bootId } = record ?? {};
  return typeof pid === 'number' && typeof startTime === 'string' && typeof bootId === 'string'
    ? { pid, startTime, bootId }
    : undefined;
}
