import { readdir, readFile, readlink } from 'node:fs/promises';
import { allPids, commandLine } from '../../../common/os/proc';

/** The daemon as its process shows it. */
export interface DaemonProcess {
  readonly pid: number;
  /** The flags of `serve`, by name without dashes. */
  readonly flags: Readonly<Record<string, string>>;
  /** Those variables of its environment that its settings come from. */
  readonly env: Readonly<Record<string, string>>;
  readonly uid: number;
  readonly cwd: string;
}

/** Of the daemon's environment nothing else is looked at. */
const VARIABLES = /^(FORKD_[A-Z_]+|HOME|XDG_DATA_HOME|XDG_RUNTIME_DIR)$/;
/** In /proc/net/tcp. */
const LISTENING = '0A';

/** The process on this machine that listens at a port; undefined when there is none or it belongs to another user. */
export async function daemonProcess(port: number): Promise<DaemonProcess | undefined> {
  const inodes = await listeners(port);
  if (inodes.size === 0) return undefined;
  for (const pid of await allPids()) {
    const args = await commandLine(pid);
    const serve = args?.indexOf('serve') ?? -1;
    if (args === undefined || serve < 0 || !(await holdsSocket(pid, inodes))) continue;
    try {
      const [environ, status, cwd] = await Promise.all([
        readFile(`/proc/${pid}/environ`, 'utf8'),
        readFile(`/proc/${pid}/status`, 'utf8'),
        readlink(`/proc/${pid}/cwd`),
      ]);
      const uid = Number(/^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1] ?? '0');
      return { pid, flags: flagsOf(args.slice(serve + 1)), env: settingsOf(environ), uid, cwd };
    } catch {
      return undefined;
    }
  }
  return undefined;
}

/** `--name value` and `--name=value`. */
export function flagsOf(args: readonly string[]): Record<string, string> {
  const flags: Record<string, string> = {};
  for (let index = 0; index < args.length; index += 1) {
    const match = /^--([a-z-]+)(?:=(.*))?$/s.exec(args[index] ?? '');
    if (match?.[1] === undefined) continue;
    const value = match[2] ?? args[index + 1];
    if (match[2] === undefined) index += 1;
    if (value !== undefined) flags[match[1]] = value;
  }
  return flags;
}

function settingsOf(environ: string): Record<string, string> {
  const pairs = environ.split('\0').map((line): [string, string] => {
    const equals = line.indexOf('=');
    return [line.slice(0, Math.max(0, equals)), line.slice(equals + 1)];
  });
  return Object.fromEntries(pairs.filter(([name]) => VARIABLES.test(name)));
}

async function listeners(port: number): Promise<Set<string>> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')),
  );
  const inodes = new Set<string>();
  for (const line of tables.join('\n').split('\n')) {
    const fields = line.trim().split(/\s+/);
    const [local, state, inode] = [fields[1], fields[3], fields[9]];
    if (state !== LISTENING || local === undefined || inode === undefined) continue;
    if (Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16) === port) inodes.add(inode);
  }
  return inodes;
}

async function holdsSocket(pid: number, inodes: ReadonlySet<string>): Promise<boolean> {
  const directory = `/proc/${pid}/fd`;
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    const target = await readlink(`${directory}/${name}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined && inodes.has(inode)) return true;
  }
  return false;
}
