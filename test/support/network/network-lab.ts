import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tool } from '../real-host';

const PEER = join(__dirname, '../../../../test/support/network/peer.py');

/** An address that is in no private range, though nobody has it (TEST-NET-3). */
export const INTERNET = '203.0.113.80';
const UPLINK = '203.0.113.1';
const INTERNET_V6 = '2001:db8:1::80';
/** The port on which every peer answers with the address it sees. */
export const PORT = 7000;

/** What surrounds the daemon's host in a test: hosts that are namespaces, on links of their own. */
export class NetworkLab {
  private readonly peers: ChildProcess[] = [];
  /** All that peers have received as datagrams, a line each. */
  datagrams = '';

  /** A host behind the default route. */
  async internet(): Promise<void> {
    await this.host(
      'internet',
      [`${UPLINK}/24`, '2001:db8:1::1/64'],
      [
        `${INTERNET}/24`,
        `${INTERNET_V6}/64`,
        // Other addresses that it answers to, in the ranges that are not the internet.
        ...['10.9.9.9/32', '172.16.9.9/32', '192.168.9.9/32', '100.64.9.9/32', '169.254.169.254/32'],
      ],
    );
    await tool('ip', 'route', 'add', 'default', 'via', INTERNET);
    await tool('ip', '-n', 'internet', 'route', 'add', 'default', 'via', UPLINK);
    await this.answer('internet');
  }

  /** Another host on a link of its own. */
  async host(name: string, near: readonly string[], far: readonly string[]): Promise<void> {
    await tool('ip', 'netns', 'add', name);
    await tool('ip', 'link', 'add', `to-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    for (const address of near)
      await tool('ip', 'addr', 'add', address, 'dev', `to-${name}`, ...noDad(address));
    await tool('ip', 'link', 'set', `to-${name}`, 'up');
    await tool('ip', '-n', name, 'link', 'set', 'lo', 'up');
    await tool('ip', '-n', name, 'link', 'set', 'eth0', 'up');
    for (const address of far) {
      await tool('ip', '-n', name, 'addr', 'add', address, 'dev', 'eth0', ...noDad(address));
    }
  }

  /** Has a program answer on {@link PORT}, in a namespace or on the daemon's host itself. */
  async answer(netns?: string): Promise<void> {
    const own = netns === undefined ? '/proc/self/ns/net' : `/run/netns/${netns}`;
    const peer = spawn('nsenter', [`--net=${own}`, 'python3', PEER, String(PORT)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.peers.push(peer);
    await once(peer.stdout, 'data');
    peer.stdout.on('data', (chunk: Buffer) => {
      this.datagrams += chunk.toString();
    });
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.peers.map(async (peer) => {
        const exited = once(peer, 'exit');
        peer.kill('SIGKILL');
        await exited;
      }),
    );
  }
}

function noDad(address: string): string[] {
  return address.includes(':') ? ['nodad'] : [];
}

/** What the daemon has made on this host: namespaces, devices, and its table of rules. */
export async function networkTraces(): Promise<string[]> {
  const names = (await readdir('/run/netns')).filter((name) => name.startsWith('forkd-'));
  const devices = [...(await readFile('/proc/self/net/dev', 'utf8')).matchAll(/^\s*(forkd-[^\s:]+):/gm)];
  const tables = (await tool('nft', 'list', 'tables')).split('\n').filter((line) => line.includes('forkd'));
  return [...names, ...devices.map(([, name = '']) => name), ...tables].sort();
}
