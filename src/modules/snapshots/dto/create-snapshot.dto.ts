import { Bool, Text, U64 } from '../../../common/http/dto-members';

/** POST /v1/snapshots: either `image`, or `kernel` and `rootfs`. */
export class CreateSnapshotDto {
  @Text()
  tag!: string;

  /** Name of a built image. */
  @Text({ optional: true })
  image?: string;

  /** Host path. */
  @Text({ optional: true })
  kernel?: string;

  /** Host path. */
  @Text({ optional: true })
  rootfs?: string;

  /** Accepted for upstream's clients: every guest can write to its root, and its writes are its own. */
  @Bool({ default: false })
  rw!: boolean;

  @Text({ nullable: true })
  tap!: string | null;

  /** Upper bound of the guest's boot and warm-up, in seconds. */
  @U64({ default: 10 })
  boot_wait_secs!: number;

  @U64({ default: 512 })
  mem_size_mib!: number;

  @U64({ default: 1 })
  vcpus!: number;
}
