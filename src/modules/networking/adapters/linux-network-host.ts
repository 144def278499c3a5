import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { DomainError, errnoOf, errorMessage } from '../../../common/errors/domain-error';
import { formatCidr, overlap, parseCidr } from '../../../common/net/ipv4';
import { ProcessError, runProcess } from '../../../common/os/run-process';
import type { AddressPlan } from '../domain/address-plan';
import { TAP_NAME } from '../domain/guest-network';
import { creationScript, removalScript } from '../domain/host-script';
import { type ForeignChain, PASS_COMMENT, passThroughFirewalls } from '../domain/foreign-firewall';
import { netnsName, slotOfVeth, vethName } from '../domain/names';
import { TABLE } from '../domain/ruleset';
import { type HostNames, NetworkHost, type Traffic } from '../ports/network-host';

const NETNS_DIR = '/run/netns';
const FORWARDING = '/proc/sys/net/ipv4/ip_forward';
/** Nothing of the daemon's environment reaches the tools. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
/** What each tool takes milliseconds for; past this it hangs. */
const DEADLINE_MS = 60_000;
const PACKAGES: Readonly<Record<string, string>> = { ip: 'iproute2', nft: 'nftables', nsenter: 'util-linux' };

/**
 * A name in the abstract namespace of unix sockets, which each network namespace has its own of: so it is taken by one daemon
 * for just the network that it manages, and free again when that daemon is gone.
 */
const CLAIM = '\0forkd-networking';

/** iproute2 and nftables, in batches: their number of processes does not grow with the sandboxes'. */
export class LinuxNetworkHost extends NetworkHost {
  async claim(): Promise<() => Promise<void>> {
    const server = createServer().unref();
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => {
        reject(
          errnoOf(error) === 'EADDRINUSE'
            ? refusal(
                'another daemon manages the networks of sandboxes on this host; stop it, or use its API for sandboxes with a network',
              )
            : error,
        );
      });
      server.listen(CLAIM, resolve);
    });
    return () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      });
  }

  async prepare(plan: AddressPlan): Promise<string[]> {
    if (process.getuid?.() !== 0) {
      throw refusal('the daemon does not run as root, which making network namespaces needs');
    }
    for (const tool of ['ip', 'nft', 'nsenter']) await run(tool, [tool === 'ip' ? '-V' : '--version'], '');
    await refuseOverlap(plan);
    await enableForwarding();
    const { stdout } = await run('nft', ['-j', 'list', 'chains'], '');
    const { orders, warnings } = passThroughFirewalls(plan, parseChains(stdout));
    if (orders !== '' && !(await run('nft', ['list', 'ruleset'], '')).stdout.includes(PASS_COMMENT)) {
      await run('nft', ['-f', '-'], orders);
    }
    return warnings;
  }

  async names(): Promise<HostNames> {
    const [netns, table] = await Promise.all([
      readdir(NETNS_DIR).catch(() => []),
      readFile('/proc/self/net/dev', 'utf8'),
    ]);
    return { netns: new Set(netns), devices: parseDevices(table) };
  }

  async create(plan: AddressPlan, slots: readonly number[]): Promise<void> {
    try {
      await run('sh', [], creationScript(plan, slots));
    } catch (error) {
      await this.remove(slots);
      throw error;
    }
  }

  async remove(slots: readonly number[]): Promise<void> {
    const before = await this.names();
    const script = removalScript(
      slots.map(netnsName).filter((name) => before.netns.has(name)),
      slots.map(vethName).filter((name) => before.devices.has(name)),
    );
    if (script === '') return;
    const { stderr } = await run('sh', [], script);
    const after = await this.names();
    const left = slots.filter(
      (slot) => after.netns.has(netnsName(slot)) || after.devices.has(vethName(slot)),
    );
    if (left.length > 0) {
      throw new DomainError(
        'internal',
        `network namespaces could not be removed: ${left.map(netnsName).join(', ')}: ${stderr.trim()}`,
      );
    }
  }

  async filter(script: string): Promise<void> {
    await run('nft', ['-f', '-'], script);
  }

  async generations(): Promise<ReadonlyMap<string, number>> {
    const [family = '', table = ''] = TABLE.split(' ');
    let text: string;
    try {
      text = (await run('nft', ['-j', 'list', 'map', family, table, 'generations'], '')).stdout;
    } catch {
      // There is no table yet, or one of another version.
      return new Map();
    }
    return parseGenerations(text);
  }

  async hasTap(netns: string): Promise<boolean> {
    try {
      await run('ip', ['-n', netns, 'link', 'show', TAP_NAME], '');
      return true;
    } catch {
      return false;
    }
  }
}

function parseChains(text: string): ForeignChain[] {
  const { nftables = [] } = JSON.parse(text) as { nftables?: { chain?: ForeignChain }[] };
  return nftables.flatMap(({ chain }) => chain ?? []);
}

/** /proc/net/dev: a line per device, eight figures of what it received, then eight of what it sent. */
export function parseDevices(table: string): Map<string, Traffic> {
  const devices = new Map<string, Traffic>();
  for (const line of table.split('\n')) {
    const [, name, figures] = /^\s*([^\s:]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || figures === undefined) continue;
    const numbers = figures.trim().split(/\s+/).map(Number);
    devices.set(name, { received: numbers[0] ?? 0, sent: numbers[8] ?? 0 });
  }
  return devices;
}

/** What `nft -j list map` says of a map from devices to marks. */
export function parseGenerations(text: string): Map<string, number> {
  const found = new Map<string, number>();
  const { nftables = [] } = JSON.parse(text) as { nftables?: { map?: { elem?: unknown } }[] };
  for (const { map } of nftables) {
    if (!Array.isArray(map?.elem)) continue;
    for (const pair of map.elem as unknown[]) {
      const [device, mark] = Array.isArray(pair) ? (pair as unknown[]) : [];
      if (typeof device === 'string' && typeof mark === 'number') found.set(device, mark);
    }
  }
  return found;
}

async function refuseOverlap({ range }: AddressPlan): Promise<void> {
  const { stdout } = await run('ip', ['-j', '-4', 'route', 'show'], '');
  const routes = JSON.parse(stdout === '' ? '[]' : stdout) as { dst?: string; dev?: string }[];
  for (const { dst = '', dev = '' } of routes) {
    const other = parseCidr(dst);
    if (other === undefined || slotOfVeth(dev) !== undefined || !overlap(range, other)) continue;
    throw refusal(
      `--network-range ${formatCidr(range)} overlaps ${dst}, which this host reaches by ${dev}; give a range that is free, e.g. --network-range 10.99.0.0/19`,
    );
  }
}

async function enableForwarding(): Promise<void> {
  if ((await readFile(FORWARDING, 'utf8')).trim() === '1') return;
  try {
    await writeFile(FORWARDING, '1\n');
  } catch (error) {
    throw refusal(
      `net.ipv4.ip_forward is 0, and the daemon may not change it (${errorMessage(error)}); run as root: sysctl -w net.ipv4.ip_forward=1`,
    );
  }
}

function refusal(reason: string): DomainError {
  return new DomainError('invalid', `sandboxes can have no network of their own: ${reason}`);
}

async function run(
  tool: string,
  args: readonly string[],
  input: string,
): Promise<{ stdout: string; stderr: string }> {
  try {
    return await runProcess(tool, args, {
      env: ENVIRONMENT,
      input,
      timeoutMs: DEADLINE_MS,
      maxOutputBytes: 16 * 1024 * 1024,
    });
  } catch (error) {
    const debianPackage = PACKAGES[tool];
    if (error instanceof ProcessError && error.missing && debianPackage !== undefined) {
      throw refusal(`${tool} is missing; install it (Debian: apt-get install ${debianPackage})`);
    }
    const words = error instanceof ProcessError ? firstLines(error.stderr) : '';
    throw new DomainError('internal', `network: ${words === '' ? errorMessage(error) : words}`, {
      cause: error,
    });
  }
}

/** What a tool complained of first; the rest follows from that. */
function firstLines(stderr: string): string {
  return stderr.trim().split('\n').slice(0, 2).join(' ').slice(0, 500);
}
