import { Bool, Text, U64 } from '../../../common/http/dto-members';

/** POST /v1/sandboxes */
export class SpawnDto {
  @Text()
  snapshot_tag!: string;

  @U64({ default: 1 })
  n!: number;

  @Bool({ default: false })
  per_child_netns!: boolean;

  @U64({ nullable: true })
  memory_limit_mib!: number | null;

  /** Accepted: every child has been exercised by its handshake when it is handed out. */
  @Bool({ default: false })
  prewarm!: boolean;

  /** Accepted: a sandbox needs no preparation to be branched live. */
  @Bool({ default: false })
  live_fork!: boolean;

  @Bool({ default: false })
  hugepages!: boolean;
}
