import type { Duplex } from 'node:stream';
import type {
  BootSpec,
  EngineName,
  EngineProbe,
  GuestMemoryMap,
  RestoreSpec,
  VmExit,
  VmPlace,
} from '../domain/vm';

/** A VM process that this daemon controls. All failures are DomainErrors or system errors with a readable message. */
export abstract class RunningVm {
  abstract readonly pid: number;
  /** Size of the guest's memory. */
  abstract readonly memoryBytes: number;
  /** Settles once, when the process is gone; never rejects. */
  abstract readonly exited: Promise<VmExit>;

  /** Opens the byte channel to the guest's agent; one at a time, a new one replaces the old. */
  abstract openChannel(): Promise<Duplex>;
  abstract pause(): Promise<void>;
  abstract resume(): Promise<void>;
  /** Writes the device state (no memory) to a file; the VM must be paused. */
  abstract saveDeviceState(path: string): Promise<void>;
  /** Where the guest's memory is in the VMM process. */
  abstract guestMemory(): Promise<GuestMemoryMap>;
  /** The last lines of the guest's console, at most 64 KiB; empty when the engine has none. Rejects once the VM has ended. */
  abstract console(): Promise<string>;
  /** Kills the process and waits until it is gone. Idempotent. */
  abstract kill(): Promise<void>;
  /** Lets go of the control connection without ending the VM. */
  abstract release(): void;
}

/** What every VMM must offer; everything above it is written once for all engines. */
export abstract class VmmEngine {
  abstract readonly name: EngineName;

  /** Finds the VMM and decides the accelerator; cached after the first success. */
  abstract probe(): Promise<EngineProbe>;
  /** Starts a VM from a kernel; settles when the VMM accepts commands, which is before the guest answers. */
  abstract boot(spec: BootSpec): Promise<RunningVm>;
  /** Starts a VM from a snapshot and lets it run; settles when the VMM accepts commands. */
  abstract restore(spec: RestoreSpec): Promise<RunningVm>;
  /** Takes over the VM that an earlier daemon started in this place; undefined when the pid is not that VM any more. */
  abstract adopt(place: VmPlace, pid: number): Promise<RunningVm | undefined>;
  /** Kills every VM process whose place is a directory of `runRoot` for which `keep` says no; returns their ids. */
  abstract reclaim(runRoot: string, keep: (id: string) => boolean): Promise<string[]>;
}
