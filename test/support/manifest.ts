import type { SnapshotManifest } from '../../src/modules/snapshots/domain/manifest';

/** A well-formed manifest for tests, with changes laid over it. */
export function sampleManifest(changes: Partial<SnapshotManifest> = {}): SnapshotManifest {
  return {
    format: 1,
    vmstate: 'vmstate',
    memory: 'memory.bin',
    rootfs: 'rootfs.ext4',
    volumes: [],
    engine: { name: 'qemu', version: '7.2.22', accelerator: 'tcg', machine: 'microvm', cpu: 'max' },
    guest: {
      arch: process.arch,
      vcpus: 1,
      mem_size_mib: 64,
      kernel_version: '6.1.0',
      image: 'python',
      image_digest: '0'.repeat(64),
      runtimes: ['python'],
    },
    memory_digest: 'a'.repeat(64),
    memory_seal: { ino: '1', mtime_ns: '1', bytes: 64 * 1024 * 1024 },
    vmstate_sha256: 'b'.repeat(64),
    rootfs_bytes: 4096,
    ...changes,
  };
}
