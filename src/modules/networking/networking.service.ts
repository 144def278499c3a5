import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import { TAP_NAME } from './domain/guest-network';
import { netnsName, slotOfNetns, vethName } from './domain/names';
import type { NetworkPolicy } from './domain/policy';
import { DEFAULT_POLICY } from './domain/policy';
import type { AddressPlan } from './domain/address-plan';
import type { NamespacePool } from './namespace-pool';
import { NetworkHost } from './ports/network-host';

/** What makes namespaces; null where the daemon was told to make none. */
export const NETWORK_PROVIDER = Symbol('NETWORK_PROVIDER');

export interface NetworkProvider {
  readonly pool: NamespacePool;
  readonly plan: AddressPlan;
}

/** A network namespace that one sandbox has for itself. */
export interface NetworkLease {
  readonly netns: string;
  readonly tap: string;
  /** Where the host reaches the guest, and the rules that hold; absent for a namespace that somebody else made. */
  readonly own?: {
    readonly address: string;
    readonly policy: NetworkPolicy;
    /** What had gone over the device before this lease; unknown after a restart of the daemon. */
    readonly before?: SandboxTraffic | undefined;
  };
}

/** Bytes, as the sandbox sees them. */
export interface SandboxTraffic {
  readonly sent: number;
  readonly received: number;
}

/** What is recorded of a sandbox that has a network. */
export interface RecordedNetwork {
  readonly netns: string;
  /** Absent for a namespace that somebody else made. */
  readonly policy?: NetworkPolicy | undefined;
}

/** Networks for sandboxes: a namespace each, with rules for what it may reach. */
@Injectable()
export class NetworkingService implements OnApplicationShutdown {
  private readonly logger = new Logger(NetworkingService.name);
  /** Namespaces of others that sandboxes use. */
  private readonly borrowed = new Set<string>();
  private readonly releasing = new Set<Promise<void>>();

  constructor(
    @Inject(NETWORK_PROVIDER) private readonly provider: NetworkProvider | null,
    private readonly host: NetworkHost,
  ) {}

  /**
   * A namespace for each of `count` sandboxes, all or none. Those of an existing host script are used first, but not when a
   * policy is asked for, as their rules are somebody else's.
   *
   * @throws DomainError invalid when this host cannot have them, with the reason; unavailable when there are no more.
   */
  async lease(count: number, policy?: NetworkPolicy): Promise<NetworkLease[]> {
    if (!this.provider) {
      throw new DomainError(
        'invalid',
        'sandboxes can have no network of their own: the daemon runs with --network off',
      );
    }
    const { pool, plan } = this.provider;
    const leases: NetworkLease[] = policy === undefined ? await this.borrow(count, pool) : [];
    if (leases.length === count) return leases;
    try {
      const wish = policy ?? DEFAULT_POLICY;
      const slots = await pool.lease(count - leases.length, wish);
      const { devices } = await this.host.names();
      for (const slot of slots) {
        const device = devices.get(vethName(slot));
        const before = device && { sent: device.received, received: device.sent };
        const own = { address: plan.linkOf(slot).sandbox, policy: wish, before };
        leases.push({ netns: netnsName(slot), tap: TAP_NAME, own });
      }
      return leases;
    } catch (error) {
      this.release(leases.map(({ netns }) => netns));
      throw error;
    }
  }

  /**
   * Has another policy hold for a sandbox that runs, for all its connections and at once.
   *
   * @throws DomainError conflict for a namespace that the daemon did not make.
   */
  async setPolicy(netns: string, policy: NetworkPolicy): Promise<void> {
    const slot = slotOfNetns(netns);
    if (slot === undefined || !this.provider?.pool.owns(slot)) {
      throw new DomainError(
        'conflict',
        `the rules of ${netns} are not the daemon's, so it cannot change them`,
      );
    }
    await this.provider.pool.setPolicy([slot], policy);
  }

  /** Bytes that a namespace of the daemon's has sent and received since it was made; undefined when it is gone. */
  async traffic(netns: string): Promise<SandboxTraffic | undefined> {
    const slot = slotOfNetns(netns);
    const { devices } = await this.host.names();
    const device = slot === undefined ? undefined : devices.get(vethName(slot));
    return device && { sent: device.received, received: device.sent };
  }

  /** Takes back what no VM uses any more; what it takes happens in the background. */
  release(names: readonly string[]): void {
    const slots: number[] = [];
    for (const name of names) {
      const slot = slotOfNetns(name);
      if (!this.borrowed.delete(name) && slot !== undefined && this.provider?.pool.owns(slot) === true) {
        slots.push(slot);
      }
    }
    if (slots.length === 0 || !this.provider) return;
    const work = this.provider.pool.release(slots);
    this.releasing.add(work);
    void work.finally(() => this.releasing.delete(work));
  }

  /**
   * At start: goes on with the namespaces of sandboxes that live, and removes those that an earlier daemon made and
   * nobody uses. Never rejects: a VM runs on without the daemon having its network in hand.
   */
  async adopt(networks: readonly RecordedNetwork[]): Promise<void> {
    if (!this.provider) return;
    const leased = new Map<number, NetworkPolicy>();
    for (const { netns, policy } of networks) {
      const slot = slotOfNetns(netns);
      if (policy !== undefined && slot !== undefined) leased.set(slot, policy);
      else this.borrowed.add(netns);
    }
    try {
      await this.provider.pool.adopt(leased);
    } catch (error) {
      this.logger.error(`the networks of an earlier daemon are left as they are: ${errorMessage(error)}`);
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all(this.releasing);
    await this.provider?.pool.close();
  }

  /** Namespaces that somebody else made for sandboxes, and none uses. */
  private async borrow(count: number, pool: NamespacePool): Promise<NetworkLease[]> {
    const { netns: names, devices } = await this.host.names();
    const leases: NetworkLease[] = [];
    for (const netns of names) {
      if (leases.length === count) break;
      const slot = slotOfNetns(netns);
      if (slot === undefined || pool.owns(slot) || this.borrowed.has(netns)) continue;
      // One that a daemon has made, be it another, is nobody's to borrow.
      if (devices.has(vethName(slot))) continue;
      this.borrowed.add(netns);
      if (await this.host.hasTap(netns)) leases.push({ netns, tap: TAP_NAME });
      else this.borrowed.delete(netns);
    }
    return leases;
  }
}
