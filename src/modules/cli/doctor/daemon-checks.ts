import { readFile, stat } from 'node:fs/promises';
import { uptime } from 'node:os';
import { errnoOf } from '../../../common/errors/domain-error';
import { allPids, commandLine } from '../../../common/os/proc';
import type { ApiClient } from '../api/client';
import { CliError, ExitCode } from '../errors';
import { type Check, fail, type Finding, pass, warn } from './check';
import { strays, vmBelow, type VmProcess } from './parse';

/** Of the times in /proc/PID/stat. */
const TICKS_PER_SEC = 100;

export interface DaemonFacts {
  readonly url: URL;
  readonly api: () => Promise<ApiClient>;
  /** Whether the daemon is on this machine. */
  readonly local: boolean;
  readonly cliVersion: string;
  readonly startCommand: string;
  readonly runDir: string;
  /** Files that hold a token, on this machine. */
  readonly tokenFiles: readonly string[];
}

export function daemonChecks(facts: DaemonFacts): Check[] {
  return [
    { name: 'daemon', run: () => reachable(facts) },
    { name: 'version', run: () => version(facts) },
    { name: 'token', run: () => tokens(facts.tokenFiles) },
    { name: 'leftovers', run: () => leftovers(facts) },
  ];
}

async function reachable({ url, api, startCommand }: DaemonFacts): Promise<Finding> {
  try {
    const client = await api();
    const started = performance.now();
    await client.health();
    const ms = performance.now() - started;
    // Health is open to everyone; whether the token is right shows elsewhere.
    await client.sandboxes();
    return pass(`${url.origin} answered in ${ms.toFixed(0)} ms`);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const { exitCode, message } = error;
    if (exitCode === ExitCode.unreachable) return fail(message, startCommand);
    return /bearer token/.test(message)
      ? fail(
          `${url.origin} answers, but: ${message}`,
          'forkd doctor --token-file FILE   # the one the daemon was started with',
        )
      : fail(`${url.origin} answers, but: ${message}`, 'forkd status   # and look at its log');
  }
}

async function version({ api, cliVersion, startCommand }: DaemonFacts): Promise<Finding> {
  let daemon: string;
  try {
    daemon = (await (await api()).version()).version;
  } catch {
    return warn(`this program is ${cliVersion}; the daemon does not tell its version`);
  }
  return daemon === cliVersion
    ? pass(`${cliVersion}, daemon and program`)
    : warn(
        `the daemon is ${daemon}, this program ${cliVersion}`,
        `${startCommand}   # after ending the old one with SIGTERM; VMs stay`,
      );
}

async function tokens(files: readonly string[]): Promise<Finding> {
  for (const path of files) {
    try {
      const { mode } = await stat(path);
      if ((mode & 0o077) !== 0) {
        const digits = (mode & 0o777).toString(8).padStart(3, '0');
        return warn(`${path} has mode ${digits}: other users may read the token`, `chmod 600 ${path}`);
      }
    } catch (error) {
      const reason = errnoOf(error) ?? String(error);
      return fail(`${path}: ${reason}`, `(umask 077; openssl rand -hex 32 > ${path})`);
    }
  }
  return files.length === 0
    ? pass('none: whoever can connect to the daemon may do everything')
    : pass(`${files.join(', ')}: for the owner only`);
}

async function leftovers({ api, local, runDir }: DaemonFacts): Promise<Finding> {
  if (!local) return warn('the daemon is on another machine: not looked for');
  const running = await vmProcesses(runDir);
  let known: ReadonlySet<string>;
  try {
    known = new Set((await (await api()).sandboxes()).map((sandbox) => sandbox.id));
  } catch {
    return running.length === 0
      ? pass(`no VM below ${runDir}`)
      : warn(`VMs below ${runDir}: ${running.length}, waiting for a daemon; its start takes them over`);
  }
  const left = strays(running, known);
  if (left.length === 0) return pass(`VMs below ${runDir}: ${running.length}, each belongs to a sandbox`);
  const pids = left.map(({ pid }) => pid);
  return warn(
    `VMs below ${runDir} that no sandbox owns: ${left.map(({ id, pid }) => `${id} (pid ${pid})`).join(', ')}`,
    `kill ${pids.join(' ')}`,
  );
}

async function vmProcesses(runDir: string): Promise<VmProcess[]> {
  const found: VmProcess[] = [];
  for (const pid of await allPids()) {
    const args = await commandLine(pid);
    const id = args === undefined ? undefined : vmBelow(args, runDir);
    if (id === undefined) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    if (stat === undefined) continue;
    // The name in parentheses may hold anything, so count from its end; field 22 is the start.
    const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
    found.push({ pid, id, ageSecs: uptime() - ticks / TICKS_PER_SEC });
  }
  return found;
}
