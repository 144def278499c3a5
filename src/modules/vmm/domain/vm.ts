/** How guest instructions are executed: by the CPU (KVM) or by QEMU's software emulation (TCG). */
export type Accelerator = 'kvm' | 'tcg';

export type EngineName = 'qemu' | 'firecracker';

/** What a machine is made of, the same for a parent and its children. */
export interface MachineSpec {
  readonly vcpus: number;
  /** Guest memory in MiB; equals the size of memory.bin. */
  readonly memSizeMib: number;
  /** Read-only root disk, absolute host path. */
  readonly rootfsPath: string;
  /** MAC address of its network card; it has none when absent. A VM with one is restored with one. */
  readonly mac?: string | undefined;
}

/** What a VM's network card is connected to. */
export type NetworkPeer =
  /** Nothing: what the guest sends is dropped. */
  | { readonly kind: 'nothing' }
  /** A tap device that is there already; where it is in a namespace (a name of `ip netns`), the whole VMM runs in it. */
  | { readonly kind: 'tap'; readonly netns?: string; readonly tap: string }
  /** The VMM's own user-mode network, which needs no privilege; `isolated` lets nothing out. */
  | { readonly kind: 'user'; readonly isolated: boolean };

/** Where one VM keeps its sockets and log. */
export interface VmPlace {
  /** Opaque name of the VM, for messages. */
  readonly id: string;
  /** Existing private directory of this VM; the engine creates its files in it and nowhere else. */
  readonly runDir: string;
}

/**
 * How a VMM's process is to be started: what stands before its command line. Prefixes are put together by joining them,
 * the outer one first; each ends by becoming, or by starting, the rest of the line.
 */
export interface Launch {
  readonly prefix: readonly string[];
  /**
   * Only for a prefix that starts the VMM as a process of its own and then ends, with status 0: tells the VMM's pid, or
   * undefined when it has ended already.
   */
  readonly findPid?: () => Promise<number | undefined>;
}

export interface BootSpec extends VmPlace {
  readonly machine: MachineSpec;
  readonly kernelPath: string;
  readonly initramfsPath: string;
  readonly network?: NetworkPeer | undefined;
  /** Added to the kernel command line. */
  readonly kernelArgs?: string;
  /** Existing sparse file of exactly memSizeMib; mapped privately, never written. */
  readonly memoryPath: string;
}

export interface RestoreSpec extends VmPlace {
  readonly machine: MachineSpec;
  /** memory.bin of the snapshot; mapped privately, never written. */
  readonly memoryPath: string;
  /** Device state made by {@link RunningVm.saveDeviceState} of the same engine. */
  readonly vmstatePath: string;
  /** As the daemon's own child, with nothing before it, when absent. */
  readonly launch?: Launch | undefined;
  /** Only for a machine with a network card; nothing when absent. */
  readonly network?: NetworkPeer | undefined;
}

/** One piece of guest memory inside the VMM's address space. */
export interface MemoryRegion {
  /** Address in the VMM process. */
  readonly address: bigint;
  readonly length: number;
  /** Offset of the region in memory.bin. */
  readonly fileOffset: number;
}

export interface GuestMemoryMap {
  readonly pid: number;
  readonly regions: readonly MemoryRegion[];
  /** Opens the file that the guest's memory is a private mapping of, also when it was deleted meanwhile. */
  readonly backingPath: string;
}

export interface VmExit {
  /** Exit code, or null where it cannot be known (killed, or adopted from an earlier daemon). */
  readonly code: number | null;
  readonly signal: string | null;
  /** The VMM's own last words, at most 2 KiB. */
  readonly lastWords: string;
}

/** What an engine is on this host, and what a snapshot must match. */
export interface EngineProbe {
  readonly engine: EngineName;
  readonly version: string;
  readonly accelerator: Accelerator;
  /** Machine type as recorded in snapshots. */
  readonly machine: string;
  /** CPU model as recorded in snapshots. */
  readonly cpu: string;
  /** Why this accelerator was chosen, for the log and the doctor. */
  readonly reason: string;
}

/** How a VM ended, for people: the VMM's own words, or what its exit tells. */
export function describeExit(exit: VmExit): string {
  if (exit.lastWords !== '') return exit.lastWords;
  // The kernel's answer to touching a page of a file for which there is no room.
  if (exit.signal === 'SIGBUS') return 'no space left on the file system of its memory file (SIGBUS)';
  if (exit.signal !== null) return `it was ended by ${exit.signal}`;
  return exit.code === null ? 'it said nothing' : `it ended with exit code ${exit.code} and said nothing`;
}
