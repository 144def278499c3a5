import { Bool, Text, U64 } from '../../../common/http/dto-members';
import { MAX_MEMORY_LIMIT_MIB } from '../../quotas/domain/limits';
import { TAG_PATTERN } from '../../snapshots/domain/tag';
import { NAME_PATTERN } from '../domain/workspace-rules';

/** POST /v1/workspaces */
export class CreateWorkspaceDto {
  @Text({ pattern: NAME_PATTERN, description: 'Its name, for good.' })
  name!: string;

  @Text({ pattern: TAG_PATTERN, description: 'The snapshot it begins as.' })
  snapshot_tag!: string;

  @Bool({ default: false, description: 'A network namespace for its sandbox, also after each resume.' })
  per_child_netns!: boolean;

  @U64({
    nullable: true,
    minimum: 1,
    maximum: MAX_MEMORY_LIMIT_MIB,
    description: 'Limit of the memory of its VM, in MiB, also after each resume; null for none.',
  })
  memory_limit_mib!: number | null;
}

/** POST /v1/workspaces/:name/suspend */
export class SuspendDto {
  @Bool({
    default: false,
    description:
      'Copies only the memory that changed since the last resume, over a copy of what it was resumed from. The state is the same.',
  })
  diff!: boolean;
}
