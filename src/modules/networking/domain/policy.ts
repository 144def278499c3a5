export const POLICY_KINDS = ['none', 'internet', 'allow', 'open'] as const;
export type PolicyKind = (typeof POLICY_KINDS)[number];

/** What a sandbox may reach. */
export interface NetworkPolicy {
  readonly kind: PolicyKind;
}

export const DEFAULT_POLICY: NetworkPolicy = { kind: 'internet' };
