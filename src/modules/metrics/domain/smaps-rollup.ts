/** Memory of a process, in bytes. */
export interface MemoryUse {
  /** Resident and mapped by this process alone. */
  readonly private: number;
  /** Resident and mapped by others as well. */
  readonly shared: number;
  /** Private memory, and the process's even share of each shared page. Adds up over processes. */
  readonly proportional: number;
}

/** Reads /proc/PID/smaps_rollup (proc_pid_smaps(5)); undefined for a process that has no memory any more. */
export function parseSmapsRollup(text: string): MemoryUse | undefined {
  const kib = new Map<string, number>();
  for (const [, name = '', value] of text.matchAll(/^(\w+): +(\d+) kB$/gm)) kib.set(name, Number(value));
  if (kib.get('Rss') === undefined) return undefined;
  const bytes = (...names: string[]): number =>
    names.reduce((sum, name) => sum + (kib.get(name) ?? 0), 0) * 1024;
  return {
    private: bytes('Private_Clean', 'Private_Dirty'),
    shared: bytes('Shared_Clean', 'Shared_Dirty'),
    proportional: bytes('Pss'),
  };
}
