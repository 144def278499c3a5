import type { AddressPlan } from '../domain/address-plan';

/** Bytes on a device, as it sees them: what it receives, the sandbox behind it has sent. */
export interface Traffic {
  readonly received: number;
  readonly sent: number;
}

/** What there is on the host, whoever made it. */
export interface HostNames {
  /** Named network namespaces. */
  readonly netns: ReadonlySet<string>;
  readonly devices: ReadonlyMap<string, Traffic>;
}

/** The host's network, as far as sandboxes need it. Failures are DomainErrors that say what to do. */
export abstract class NetworkHost {
  /**
   * Makes this daemon the only one that manages sandboxes' networks on this host.
   *
   * @returns what lets the next daemon do so.
   */
  abstract claim(): Promise<() => Promise<void>>;
  /**
   * @returns what an operator should know: firewalls of others that stop what sandboxes send.
   * @throws DomainError invalid when the host cannot give sandboxes a network, with the reason.
   */
  abstract prepare(plan: AddressPlan): Promise<string[]>;
  abstract names(): Promise<HostNames>;
  /** Makes these slots' namespaces, all or none. */
  abstract create(plan: AddressPlan, slots: readonly number[]): Promise<void>;
  /** Removes what there is of these slots; what is not there is no error. */
  abstract remove(slots: readonly number[]): Promise<void>;
  /** Carries out orders of nft as one transaction. */
  abstract filter(script: string): Promise<void>;
  /** The marks of the devices that the table knows; none when there is no table. */
  abstract generations(): Promise<ReadonlyMap<string, number>>;
  /** Whether a namespace that somebody else made has a tap for a VM. */
  abstract hasTap(netns: string): Promise<boolean>;
}
