import type { NetworkPolicy } from '../../networking/domain/policy';
import type { SandboxNetwork } from '../../registry/domain/records';

/** What the registry and clients are told of a network. */
export function networkRecord({ kind, allow }: NetworkPolicy, address: string): SandboxNetwork {
  return { policy: kind, address, ...(kind === 'allow' ? { allow: [...allow] } : {}) };
}

export function recordedPolicy({ policy, allow }: SandboxNetwork): NetworkPolicy {
  return { kind: policy, allow: allow ?? [] };
}
