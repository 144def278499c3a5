import { Injectable } from '@nestjs/common';
import { DomainError } from '../../../common/errors/domain-error';
import { KeyedMutex } from '../../../common/lifecycle/keyed-mutex';
import { policyOf, type PolicyKind } from '../../networking/domain/policy';
import { NetworkingService } from '../../networking/networking.service';
import type { SandboxNetwork } from '../../registry/domain/records';
import { RegistryService } from '../../registry/registry.service';
import { networkRecord, recordedPolicy } from '../domain/sandbox-network';
import { SandboxesService } from '../sandboxes.service';

/** A sandbox's network, and what went over it. */
export interface NetworkStatus extends SandboxNetwork {
  bytes_sent: number;
  bytes_received: number;
}

/** What clients may see and change of a sandbox's network while it runs. */
@Injectable()
export class SandboxNetworkService {
  private readonly turns = new KeyedMutex();

  constructor(
    private readonly sandboxes: SandboxesService,
    private readonly networking: NetworkingService,
    private readonly registry: RegistryService,
  ) {}

  /** @throws DomainError not_found; conflict for a sandbox without a network of the daemon's. */
  async status(id: string): Promise<NetworkStatus> {
    const { netns, network } = this.networkOf(id);
    const now = await this.networking.traffic(netns);
    const before = this.sandboxes.vmOf(id).network?.own?.before ?? { sent: 0, received: 0 };
    return {
      ...network,
      bytes_sent: Math.max(0, (now?.sent ?? 0) - before.sent),
      bytes_received: Math.max(0, (now?.received ?? 0) - before.received),
    };
  }

  /** Has another policy hold, also for connections that are open; what fails changes nothing. */
  async change(id: string, kind: PolicyKind, allow: readonly string[]): Promise<NetworkStatus> {
    this.sandboxes.get(id);
    const policy = policyOf(kind, allow);
    await this.turns.runExclusive(id, async () => {
      const { netns, network } = this.networkOf(id);
      if (policy === undefined) return;
      await this.networking.setPolicy(netns, policy);
      try {
        await this.registry.mutate((draft) => {
          const record = draft.sandboxes.get(id);
          if (record) {
            draft.sandboxes.set(id, { ...record, network: networkRecord(policy, network.address) });
          }
        });
      } catch (error) {
        await this.networking.setPolicy(netns, recordedPolicy(network));
        throw error;
      }
    });
    return this.status(id);
  }

  private networkOf(id: string): { netns: string; network: SandboxNetwork } {
    const { netns, network } = this.sandboxes.get(id);
    this.sandboxes.vmOf(id);
    if (netns !== null && network !== undefined) return { netns, network };
    throw new DomainError(
      'conflict',
      netns === null
        ? `${id} has no network; fork sandboxes with per_child_netns to have one`
        : `the rules of ${netns} are not the daemon's, so it cannot tell or change them`,
    );
  }
}
