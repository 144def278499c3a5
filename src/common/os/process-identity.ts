import { readFile } from 'node:fs/promises';
import { bootId } from './proc';

/** A process, told apart from a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly startTime: string;
  readonly bootId: string;
}

export async function thisProcess(): Promise<ProcessIdentity> {
  const startTime = await startTimeOf(process.pid);
  return { pid: process.pid, startTime: startTime ?? '', bootId: await bootId() };
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  if (identity.bootId !== (await bootId())) return false;
  return identity.startTime === (await startTimeOf(identity.pid));
}

/** Reads what JSON.stringify wrote of a {@link ProcessIdentity}; anything else is a process that does not exist. */
export function parseIdentity(text: string): ProcessIdentity {
  try {
    const value: unknown = JSON.parse(text);
    if (
      typeof value === 'object' &&
      value !== null &&
      'pid' in value &&
      'startTime' in value &&
      'bootId' in value &&
      typeof value.pid === 'number' &&
      typeof value.startTime === 'string' &&
      typeof value.bootId === 'string'
    ) {
      return { pid: value.pid, startTime: value.startTime, bootId: value.bootId };
    }
  } catch {
    // Not JSON: a file that nobody alive wrote.
  }
  return { pid: 0, startTime: '', bootId: '' };
}

async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may hold spaces; start time is the 20th field behind it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
