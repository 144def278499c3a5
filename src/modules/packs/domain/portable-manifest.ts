import { MAX_VCPUS, MEM_MIB } from '../../snapshots/domain/build-limits';
import {
  DIFF_FILE,
  MANIFEST_FORMAT,
  MEMORY_FILE,
  parseManifest,
  ROOTFS_FILE,
  type SnapshotManifest,
  VMSTATE_FILE,
} from '../../snapshots/domain/manifest';
import { isTag } from '../../snapshots/domain/tag';

/** What a file is recognised by on its own host means nothing on another. */
const NO_SEAL = { ino: '0', mtime_ns: '0' } as const;
const WORD = /^[\x20-\x7e]{0,200}$/;
const RUNTIME = /^[A-Za-z0-9._+-]{1,64}$/;

/**
 * A snapshot.json as it travels, with known members only, or what is wrong with it. What comes from elsewhere gets no say in
 * paths, and its numbers and words are bounded before they reach a VMM's command line.
 */
export function portableManifest(value: unknown): SnapshotManifest | string {
  const parsed = parseManifest(JSON.stringify(value ?? null));
  if ('problem' in parsed) return `its snapshot.json: ${parsed.problem}`;
  const { manifest } = parsed;
  if (manifest === undefined) return 'its snapshot.json was not made by this daemon (it has no `format`)';
  const problem = valuesProblem(manifest);
  if (problem !== undefined) return `its snapshot.json: ${problem}`;
  const { engine, guest } = manifest;
  return {
    format: MANIFEST_FORMAT,
    vmstate: VMSTATE_FILE,
    memory: manifest.memory,
    rootfs: ROOTFS_FILE,
    volumes: [],
    ...chainOf(manifest),
    engine: {
      name: engine.name,
      version: engine.version,
      accelerator: engine.accelerator,
      machine: engine.machine,
      cpu: engine.cpu,
    },
    guest: {
      arch: guest.arch,
      vcpus: guest.vcpus,
      mem_size_mib: guest.mem_size_mib,
      kernel_version: guest.kernel_version,
      image: guest.image,
      image_digest: guest.image_digest,
      runtimes: [...guest.runtimes],
      ...(guest.mac === undefined ? {} : { mac: guest.mac }),
    },
    memory_digest: manifest.memory_digest,
    memory_seal: { ...NO_SEAL, bytes: manifest.memory_seal.bytes },
    vmstate_sha256: manifest.vmstate_sha256,
    rootfs_bytes: manifest.rootfs_bytes,
  };
}

function chainOf({
  parent_tag: parent,
  parent_content_hash: hash,
  diff_sha256: diff,
}: SnapshotManifest): object {
  return parent === undefined ? {} : { parent_tag: parent, parent_content_hash: hash, diff_sha256: diff };
}

function valuesProblem(manifest: SnapshotManifest): string | undefined {
  const { engine, guest, parent_tag: parent } = manifest;
  if (parent !== undefined && !(typeof parent === 'string' && isTag(parent))) return '`parent_tag` is no tag';
  const names: Readonly<Record<string, string>> = {
    vmstate: VMSTATE_FILE,
    memory: parent === undefined ? MEMORY_FILE : DIFF_FILE,
    rootfs: ROOTFS_FILE,
  };
  for (const [member, name] of Object.entries(names)) {
    if (manifest[member as 'vmstate' | 'memory' | 'rootfs'] !== name) return `\`${member}\` is not ${name}`;
  }
  const volumes: unknown = manifest.volumes;
  if (!Array.isArray(volumes) || volumes.length > 0) return 'it has volumes, which are files of another host';
  const words = [...Object.values(engine), guest.arch, guest.kernel_version, guest.image, guest.image_digest];
  if (!words.every((word) => word === null || (typeof word === 'string' && WORD.test(word))))
    return 'a name in it is longer than 200 characters or not printable ASCII';
  const runtimes: readonly unknown[] = guest.runtimes;
  if (runtimes.length > 32 || !runtimes.every((each) => typeof each === 'string' && RUNTIME.test(each)))
    return '`guest.runtimes` are not names';
  if (guest.mem_size_mib < MEM_MIB.min || guest.mem_size_mib > MEM_MIB.max)
    return `\`guest.mem_size_mib\` is not ${MEM_MIB.min} to ${MEM_MIB.max}`;
  if (guest.vcpus > MAX_VCPUS) return `\`guest.vcpus\` is not 1 to ${MAX_VCPUS}`;
  if (!Number.isSafeInteger(manifest.rootfs_bytes) || manifest.rootfs_bytes < 0)
    return '`rootfs_bytes` is not a number of bytes';
  return undefined;
}
