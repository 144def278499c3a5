import type { HeldLimits } from './limits';

type Accelerator = 'kvm' | 'tcg';

/** What the VMM of an idle child has in private memory, in MiB, with some to spare. */
export const IDLE_VMM_MIB = 48;
/** The buffer that software emulation translates the guest's code into (`tb-size`). */
const TRANSLATION_MIB = 64;

/** The least memory that a VM can be of use with: that of the VMM before its guest has changed anything. */
export function vmmMemoryMib(accelerator: Accelerator): number {
  return IDLE_VMM_MIB + (accelerator === 'tcg' ? TRANSLATION_MIB : 0);
}

/** The most memory that a VM may come to use, in MiB: its limit, or all of its guest's and the VMM's. */
export function committedMib(
  { memory_limit_mib: limit }: Pick<HeldLimits, 'memory_limit_mib'>,
  guestMib: number,
  accelerator: Accelerator,
): number {
  const most = guestMib + vmmMemoryMib(accelerator);
  return limit === null ? most : Math.min(limit, most);
}
