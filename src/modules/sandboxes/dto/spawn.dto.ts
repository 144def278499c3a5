import { Bool, OneOf, Text, TextArray, U64 } from '../../../common/http/dto-members';
import { POLICY_KINDS, type PolicyKind } from '../../networking/domain/policy';
import { LimitsDto } from '../../quotas/dto/limits.dto';
import { TAG_PATTERN } from '../../snapshots/domain/tag';
import { MAX_CHILDREN } from '../domain/spawn-rules';

/** POST /v1/sandboxes */
export class SpawnDto extends LimitsDto {
  @Text({ pattern: TAG_PATTERN, description: 'The snapshot to fork.' })
  snapshot_tag!: string;

  @U64({ default: 1, minimum: 1, maximum: MAX_CHILDREN, description: 'How many; all of them or none.' })
  n!: number;

  @Bool({ default: false, description: 'A network namespace for each sandbox.' })
  per_child_netns!: boolean;

  @OneOf(POLICY_KINDS, {
    nullable: true,
    description:
      'What each may reach, with `per_child_netns`; `internet` when absent: public addresses only. None leads to this host, other sandboxes or link-local addresses.',
  })
  network_policy!: PolicyKind | null;

  @TextArray({
    default: [],
    description:
      'For the policy `allow`: IPv4 addresses and networks, with a port or without: 203.0.113.7, 10.1.0.0/16:443, 1.1.1.1:53/udp.',
  })
  network_allow!: string[];

  @Bool({
    default: false,
    description:
      'Has each child run a program and its warm runtimes once before it is handed out, so that its first exec and eval are fast.',
  })
  prewarm!: boolean;

  @Bool({
    default: false,
    description: 'Changes nothing: a sandbox needs no preparation to be branched live.',
  })
  live_fork!: boolean;

  @Bool({ default: false, description: 'Refused: memory is shared with the snapshot page by page.' })
  hugepages!: boolean;
}
