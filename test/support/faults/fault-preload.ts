/**
 * Loaded into a daemon with `node --require`. Gives a name to each step by which the daemon changes something outside of it
 * (a file operation, a call of the engine, of a VM, of a memory thread or of the agent), traces the moments before and after
 * each, and carries out a {@link FaultOrder} at one of them. The daemon's own code knows nothing of it.
 */
import 'reflect-metadata';
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import fsPromises, { type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { MemoryThread } from '../../../src/modules/memory/memory-thread';
import { GuestAgent } from '../../../src/modules/guest/guest-agent';
import { QemuEngine } from '../../../src/modules/vmm/adapters/qemu/qemu-engine';
import { QemuVm } from '../../../src/modules/vmm/adapters/qemu/qemu-vm';
import { ENV, type FaultOrder, HIT } from './fault-order';

type AsyncFunction = (this: unknown, ...args: unknown[]) => Promise<unknown>;
type Functions = Record<string, AsyncFunction | undefined>;

const ROOT = `${process.env[ENV.root] ?? ''}/`;
const TRACE = process.env[ENV.trace] ?? '';
const FILE_FUNCTIONS = ['copyFile', 'link', 'mkdir', 'rename', 'rm', 'rmdir', 'truncate', 'writeFile'];

let order: FaultOrder | undefined;
let left = 0;

function reach(event: string): void {
  appendFileSync(TRACE, `${event}\n`);
  if (order === undefined || (order.event !== undefined && order.event !== event) || --left > 0) return;
  const { action, spare } = order;
  order = undefined;
  appendFileSync(TRACE, `${HIT}${event}\n`);
  if (action === 'end-vms' || action === 'both') endVms(spare ?? []);
  if (action === 'kill' || action === 'both') process.kill(process.pid, 'SIGKILL');
  if (action === 'stop') process.kill(process.pid, 'SIGTERM');
}

function endVms(spare: readonly string[]): void {
  const kept = spare.map((id) => `/${id}/`);
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const args = readFileSync(join('/proc', name, 'cmdline'), 'utf8');
      if (!args.includes(`path=${ROOT}`) || kept.some((part) => args.includes(part))) continue;
      process.kill(Number(name), 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** Puts the moments around an asynchronous function; `nameOf` gives none for calls that are no step. */
function around(original: AsyncFunction, nameOf: (args: unknown[]) => string | undefined): AsyncFunction {
  return async function stepped(...args) {
    const name = nameOf(args);
    if (name === undefined) return original.apply(this, args);
    reach(`before ${name}`);
    const result = await original.apply(this, args);
    reach(`after ${name}`);
    return result;
  };
}

function gate(owner: object, prefix: string, names: readonly string[]): void {
  const functions = owner as Functions;
  for (const name of names) {
    const original = functions[name];
    if (original === undefined) throw new Error(`there is no ${prefix}.${name} any more`);
    functions[name] = around(original, () => `${prefix}.${name}`);
  }
}

/** A path as it is called in every round: below the root, without what is random or counted. */
function nameOfPath(path: unknown): string | undefined {
  if (typeof path !== 'string' || !path.startsWith(ROOT)) return undefined;
  return path
    .slice(ROOT.length)
    .replace(/-[0-9a-f]{8}(?=\/|$)/, '-*')
    .replace(/\bsb-[0-9a-f]+-[0-9a-f]+/, 'sb-*')
    .replace(/[0-9a-f]{64}/, 'DIGEST');
}

function gateFiles(): void {
  const functions = fsPromises as unknown as Functions;
  for (const name of FILE_FUNCTIONS) {
    const original = functions[name];
    if (original === undefined) throw new Error(`there is no fs.${name}`);
    const paths = ['copyFile', 'link', 'rename'].includes(name) ? 2 : 1;
    functions[name] = around(original, (args) => {
      const named = args.slice(0, paths).map(nameOfPath);
      if (named.every((path) => path === undefined)) return undefined;
      return `fs.${name} ${named.map((path) => path ?? 'elsewhere').join(' -> ')}`;
    });
  }
  const open = fsPromises.open.bind(fsPromises);
  fsPromises.open = async (path, ...rest) => {
    const handle = await open(path, ...rest);
    const name = nameOfPath(path);
    // A log is no step: requests wait for its line, and nothing else follows from it.
    if (name !== undefined && !name.endsWith('.log')) gateHandle(handle, name);
    return handle;
  };
}

function gateHandle(handle: FileHandle, path: string): void {
  const functions = handle as unknown as Functions;
  for (const name of ['sync', 'writeFile']) {
    const original = functions[name];
    if (original !== undefined) functions[name] = around(original.bind(handle), () => `fs.${name} ${path}`);
  }
}

function gateMemoryThreads(): void {
  const functions = MemoryThread.prototype as unknown as Functions;
  const { next } = functions;
  if (next === undefined) throw new Error('there is no MemoryThread.next any more');
  functions['next'] = around(next, ([step]) => `memory.${String(step)}`);
}

// Threads inherit the preload, but steps are seen where they are ordered.
if (isMainThread) {
  gateFiles();
  gateMemoryThreads();
  gate(QemuEngine.prototype, 'engine', ['boot', 'restore', 'adopt', 'reclaim']);
  gate(QemuVm.prototype, 'vm', ['pause', 'resume', 'saveDeviceState', 'guestMemory', 'kill']);
  gate(GuestAgent, 'guest', ['handshake']);
  const take = (next: FaultOrder): void => {
    order = next;
    left = next.nth;
  };
  const first = process.env[ENV.order];
  if (first !== undefined) take(JSON.parse(first) as FaultOrder);
  process.on('message', (next: FaultOrder) => {
    take(next);
    process.send?.('taken');
  });
  // It must not keep the daemon from ending.
  process.channel?.unref();
}
