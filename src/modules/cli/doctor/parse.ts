/** The numbers a version begins with: "7.2.22" is [7, 2, 22]. */
export function versionIn(text: string): number[] {
  return /^\d+(\.\d+)*/.exec(text)?.[0].split('.').map(Number) ?? [];
}

export function atLeast(version: readonly number[], oldest: readonly number[]): boolean {
  for (const [index, least] of oldest.entries()) {
    const part = version[index] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}

/** Where cgroup v2 is mounted, from /proc/self/mountinfo. */
export function cgroupMount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [mount = '', type = ''] = line.split(' - ');
    if (type.startsWith('cgroup2 ')) return mount.split(' ')[4];
  }
  return undefined;
}

/** The sandbox whose VM a QEMU with these arguments is; undefined for other processes. */
export function vmBelow(args: readonly string[], runDir: string): string | undefined {
  // QEMU writes a comma in a value twice.
  const prefix = `path=${runDir}/`.replaceAll(',', ',,');
  for (const arg of args) {
    const at = arg.indexOf(prefix);
    const [id, socket] = at < 0 ? [] : arg.slice(at + prefix.length).split('/');
    if (id !== undefined && id !== '' && socket?.startsWith('qmp,') === true) return id;
  }
  return undefined;
}

/** A VM that is being started belongs to no sandbox yet; none takes longer than this. */
const GRACE_SECS = 180;

export interface VmProcess {
  readonly pid: number;
  /** The sandbox it was started as. */
  readonly id: string;
  readonly ageSecs: number;
}

/** Those that run for nobody. */
export function strays(running: readonly VmProcess[], sandboxes: ReadonlySet<string>): VmProcess[] {
  return running.filter(({ id, ageSecs }) => !sandboxes.has(id) && ageSecs > GRACE_SECS);
}
