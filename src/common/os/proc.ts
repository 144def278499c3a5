import { readFile, readdir, stat } from 'node:fs/promises';

/** One line of /proc/PID/maps that maps a file. */
export interface FileMapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly offset: number;
  /** Device and inode of the file, which stay when it is renamed or unlinked: "fe:00 1234". */
  readonly file: string;
}

/** All file mappings of a process, by file. */
export async function fileMappings(pid: number): Promise<Map<string, FileMapping[]>> {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8');
  const found = new Map<string, FileMapping[]>();
  for (const line of maps.split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) (\S+ [1-9]\d*)\s/.exec(line);
    if (!match) continue;
    const [, start = '', end = '', offset = '', file = ''] = match;
    const mapping = {
      start: BigInt(`0x${start}`),
      end: BigInt(`0x${end}`),
      offset: Number.parseInt(offset, 16),
      file,
    };
    const known = found.get(file);
    if (known) known.push(mapping);
    else found.set(file, [mapping]);
  }
  return found;
}

/** A path under /proc that opens a file which the process holds open, also after it was unlinked. */
export async function openFilePath(pid: number, inode: string, bytes: number): Promise<string | undefined> {
  const dir = `/proc/${pid}/fd`;
  for (const name of await readdir(dir)) {
    const path = `${dir}/${name}`;
    const found = await stat(path, { bigint: true }).catch(() => undefined);
    if (found?.isFile() === true && found.ino.toString() === inode && Number(found.size) === bytes)
      return path;
  }
  return undefined;
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
