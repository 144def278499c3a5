import { readFile, readdir } from 'node:fs/promises';

/** One line of /proc/PID/maps that maps a file. */
export interface FileMapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly offset: number;
  readonly path: string;
}

/** The mappings of one file in a process; a file that was unlinked since is found by its old path. */
export async function fileMappings(pid: number, path: string): Promise<FileMapping[]> {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8');
  const found: FileMapping[] = [];
  for (const line of maps.split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+\s+(.*)$/.exec(line);
    if (!match) continue;
    const [, start, end, offset, name] = match;
    if (start === undefined || end === undefined || offset === undefined || name === undefined) continue;
    if (name !== path && name !== `${path} (deleted)`) continue;
    found.push({
      start: BigInt(`0x${start}`),
      end: BigInt(`0x${end}`),
      offset: Number.parseInt(offset, 16),
      path,
    });
  }
  return found;
}

/** The command line of a process, or undefined when it is gone or a kernel thread. */
export async function commandLine(pid: number): Promise<string[] | undefined> {
  try {
    const raw = await readFile(`/proc/${pid}/cmdline`, 'utf8');
    return raw === '' ? undefined : raw.replace(/\0$/, '').split('\0');
  } catch {
    return undefined;
  }
}

/** Whether the process exists and is not a zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command name in parentheses may itself hold spaces and parentheses.
    const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
    return state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}

/** The pids of all processes of this host that this process may see. */
export async function allPids(): Promise<number[]> {
  const names = await readdir('/proc');
  return names.filter((name) => /^\d+$/.test(name)).map(Number);
}

/** The kernel's random identifier of this boot. */
export async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
