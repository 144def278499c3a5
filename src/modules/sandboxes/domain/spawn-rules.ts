import { policyOf, type PolicyKind } from '../../networking/domain/policy';
import { DomainError } from '../../../common/errors/domain-error';
import { type LimitWish, requireSaneLimits } from '../../quotas/domain/limits';

export interface SpawnRequest {
  readonly snapshotTag: string;
  readonly n: number;
  readonly perChildNetns: boolean;
  /** Only with a namespace; the default when absent or null. */
  readonly networkPolicy?: PolicyKind | null;
  /** What the policy `allow` leads to. */
  readonly networkAllow?: readonly string[];
  readonly limits: LimitWish;
  /** Has each child run what its guest will be asked to run, before it is handed out. */
  readonly prewarm: boolean;
  readonly hugepages: boolean;
}

export const MAX_CHILDREN = 1000;

/** Seconds an exec may last at most: a day. */
export const MAX_EXEC_SECS = 86_400;

/** @throws DomainError invalid for a number out of range, or a wish that this daemon cannot fulfil. */
export function requireSpawnRules(request: SpawnRequest): void {
  if (request.n < 1) throw new DomainError('invalid', 'n must be ≥ 1');
  if (request.n > MAX_CHILDREN) throw new DomainError('invalid', `n must be ≤ ${MAX_CHILDREN}`);
  requireSaneLimits(request.limits);
  requireNetworkRules(request);
  if (request.hugepages) {
    throw new DomainError(
      'invalid',
      'hugepages is not available: guest memory is a private mapping of the snapshot, which huge pages would copy in pieces of 2 MiB; leave it out',
    );
  }
}

function requireNetworkRules({ perChildNetns, networkPolicy = null, networkAllow = [] }: SpawnRequest): void {
  const policy = policyOf(networkPolicy, networkAllow);
  if (policy !== undefined && !perChildNetns) {
    throw new DomainError('invalid', 'network_policy needs a network: give per_child_netns, too');
  }
}

/** @throws DomainError invalid when there is no program, or the time limit is longer than a day. */
export function requireExecRules(args: readonly string[], timeoutSecs: number): void {
  if (args.length === 0) throw new DomainError('invalid', 'args must contain at least one element');
  if (timeoutSecs > MAX_EXEC_SECS)
    throw new DomainError('invalid', `timeout_secs must be ≤ ${MAX_EXEC_SECS}`);
  if (args.some((arg) => arg.includes('\0')))
    throw new DomainError('invalid', 'args must not contain a NUL character');
}
