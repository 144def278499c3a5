import { Bool, Text, U64 } from '../../../common/http/dto-members';
import { TAG_PATTERN } from '../../snapshots/domain/tag';
import { MAX_CHILDREN } from '../domain/spawn-rules';

/** POST /v1/sandboxes */
export class SpawnDto {
  @Text({ pattern: TAG_PATTERN, description: 'The snapshot to fork.' })
  snapshot_tag!: string;

  @U64({ default: 1, minimum: 1, maximum: MAX_CHILDREN, description: 'How many; all of them or none.' })
  n!: number;

  @Bool({ default: false, description: 'A network namespace for each sandbox.' })
  per_child_netns!: boolean;

  @U64({ nullable: true, minimum: 1, description: 'Limit of the memory of each VM, in MiB; null for none.' })
  memory_limit_mib!: number | null;

  @Bool({
    default: false,
    description: 'Changes nothing: every child has been exercised when it is handed out.',
  })
  prewarm!: boolean;

  @Bool({
    default: false,
    description: 'Changes nothing: a sandbox needs no preparation to be branched live.',
  })
  live_fork!: boolean;

  @Bool({ default: false, description: 'Without `live_fork` it is ignored.' })
  hugepages!: boolean;
}
