import { Bool, OneOf, Text } from '../../../common/http/dto-members';
import { TAG_PATTERN } from '../../snapshots/domain/tag';
import { BRANCH_MODES, type BranchMode } from '../domain/branch-rules';

/** POST /v1/sandboxes/:id/branch */
export class BranchDto {
  @Text({
    nullable: true,
    pattern: TAG_PATTERN,
    description: 'The name of the snapshot to be; generated when absent.',
  })
  tag!: string | null;

  @OneOf(BRANCH_MODES, {
    nullable: true,
    description:
      '`full` copies all memory while the source is paused, `diff` only what changed since the fork, `live` pauses least. Full when absent.',
  })
  mode!: BranchMode | null;

  @Bool({ default: false, description: 'The older way to say `mode: "diff"`; not together with `mode`.' })
  diff!: boolean;

  @Bool({ default: false, description: 'The older way to say `mode: "live"`; not together with `mode`.' })
  live!: boolean;

  @Bool({ default: false, description: 'A full branch that also tells what a diff would have taken.' })
  measure_diff!: boolean;

  @Bool({ default: true, description: 'False answers before a live branch is complete; only for live.' })
  wait!: boolean;

  @Text({
    nullable: true,
    pattern: TAG_PATTERN,
    description:
      "Stores only what differs from this snapshot, which must be the sandbox's own; only for diff.",
  })
  parent_tag!: string | null;
}
