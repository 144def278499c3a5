import { Bool, Text, U64 } from '../../../common/http/dto-members';
import { MAX_BOOT_WAIT_SECS, MAX_VCPUS, MEM_MIB } from '../domain/build-limits';
import { TAG_PATTERN } from '../domain/tag';

/** POST /v1/snapshots: either `image`, or `kernel` and `rootfs`. */
export class CreateSnapshotDto {
  @Text({ pattern: TAG_PATTERN, description: 'The name of the snapshot to be.' })
  tag!: string;

  @Text({ optional: true, description: 'Name of a built image; in place of `kernel` and `rootfs`.' })
  image?: string;

  @Text({ optional: true, description: 'Absolute path on the host; together with `rootfs`.' })
  kernel?: string;

  @Text({ optional: true, description: 'Absolute path on the host; together with `kernel`.' })
  rootfs?: string;

  @Bool({
    default: false,
    description: 'Changes nothing: every guest can write to its root, and its writes are its own.',
  })
  rw!: boolean;

  @Text({
    nullable: true,
    description:
      'A tap device of the host that the guest is connected to while it boots; its children need none of it.',
  })
  tap!: string | null;

  @U64({
    default: 10,
    maximum: MAX_BOOT_WAIT_SECS,
    description: 'Seconds the guest has to boot and warm up; 0 leaves it at the maximum.',
  })
  boot_wait_secs!: number;

  @U64({
    default: 512,
    minimum: MEM_MIB.min,
    maximum: MEM_MIB.max,
    description: "The guest's memory, in MiB.",
  })
  mem_size_mib!: number;

  @U64({ default: 1, minimum: 1, maximum: MAX_VCPUS, description: "The guest's processors." })
  vcpus!: number;
}
