import { Bool, Text, U64 } from '../../../common/http/dto-members';
import { TAG_PATTERN } from '../../snapshots/domain/tag';
import { MAX_CHILDREN, MAX_MEMORY_LIMIT_MIB } from '../domain/spawn-rules';

/** POST /v1/sandboxes */
export class SpawnDto {
  @Text({ pattern: TAG_PATTERN, description: 'The snapshot to fork.' })
  snapshot_tag!: string;

  @U64({ default: 1, minimum: 1, maximum: MAX_CHILDREN, description: 'How many; all of them or none.' })
  n!: number;

  @Bool({ default: false, description: 'A network namespace for each sandbox.' })
  per_child_netns!: boolean;

  @U64({
    nullable: true,
    minimum: 1,
    maximum: MAX_MEMORY_LIMIT_MIB,
    description: 'Limit of the memory of each VM, in MiB; null for none.',
  })
  memory_limit_mib!: number | null;

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
