import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { MachineSpec } from '../../../src/modules/vmm/domain/vm';

const MAGIC = 'SIMULATED-VM-STATE 1\n';
const LOAD_FAILED = 'load of migration failed: Invalid argument';

/** What of a machine is not memory. */
export interface DeviceState {
  readonly vcpus: number;
  readonly memSizeMib: number;
  /** What the guest had done when the state was saved; its memory knows the same number. */
  readonly ticks: number;
}

export function saveDeviceState(path: string, state: DeviceState): void {
  const body = JSON.stringify(state);
  writeFileSync(path, `${MAGIC}${checksum(body)}\n${body}`, { mode: 0o600 });
}

/** @throws Error in the words of QEMU when the file is foreign, truncated, changed, or of another machine. */
export function loadDeviceState(path: string, machine: MachineSpec): DeviceState {
  const text = readFileSync(path, 'latin1');
  if (!text.startsWith(MAGIC)) throw new Error(`Not a migration stream; ${LOAD_FAILED}`);
  const [sum, body] = text.slice(MAGIC.length).split('\n');
  if (body === undefined || sum !== checksum(body)) throw new Error(LOAD_FAILED);
  const state = JSON.parse(body) as DeviceState;
  if (state.vcpus !== machine.vcpus || state.memSizeMib !== machine.memSizeMib) {
    throw new Error(`Size mismatch: ${state.memSizeMib} MiB; ${LOAD_FAILED}`);
  }
  return state;
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}
