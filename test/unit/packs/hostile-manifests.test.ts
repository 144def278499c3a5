import { hostileSuite } from './hostile-suite';
import { chainLie, fileOf, flatLie, type HostilePack, nth } from './spoilt-packs';

const OTHER = 'f'.repeat(64);

/** Manifests that lie. */
const MANIFESTS: readonly HostilePack[] = [
  flatLie(
    'a format of the future',
    (_, manifest) => {
      manifest.forkd_pack = 2;
    },
    /its format is 2, and this version reads 1/,
  ),
  flatLie(
    'a tag that climbs out',
    (_, manifest) => {
      manifest.tag = '../../outside';
    },
    /`tag` is "\.\.\/\.\.\/outside", which is no tag/,
  ),
  flatLie(
    'a snapshot that climbs out',
    (link) => {
      link.tag = '..';
    },
    /it has a snapshot "\.\.", which is no tag/,
  ),
  flatLie(
    'a tag that is another than the last snapshot’s',
    (_, manifest) => {
      manifest.tag = 'other';
    },
    /its tag is other, but its chain ends with py/,
  ),
  flatLie(
    'no snapshots',
    (_, manifest) => {
      manifest.snapshots = [];
    },
    /lists no snapshots/,
  ),
  flatLie(
    'a file that is no part of a snapshot',
    (link) => {
      link.files.push({ ...fileOf(link, 'vmstate'), name: '../../.ssh/authorized_keys' });
    },
    /authorized_keys" is no file of a snapshot/,
  ),
  flatLie(
    'a file that is listed twice',
    (link) => {
      link.files.push(fileOf(link, 'vmstate'));
    },
    /"vmstate" is listed twice/,
  ),
  flatLie(
    'a file that is not listed',
    (link) => {
      link.files = link.files.filter(({ name }) => name !== 'rootfs.ext4');
    },
    /rootfs\.ext4 is missing in its list/,
  ),
  flatLie(
    'a negative size',
    (link) => {
      fileOf(link, 'vmstate').size = -1;
    },
    /the size of "vmstate" is not a number of bytes/,
  ),
  flatLie(
    'more stored than there is',
    (link) => {
      fileOf(link, 'vmstate').stored = 5001;
    },
    /`stored` of "vmstate" is not a number of bytes up to its size/,
  ),
  flatLie(
    'less stored than there is',
    (link) => {
      fileOf(link, 'memory.bin').stored = 65_536;
    },
    /py\/memory\.bin/,
  ),
  flatLie(
    'a size that is another',
    (link) => {
      Object.assign(fileOf(link, 'vmstate'), { size: 4999, stored: 4999 });
    },
    /py\/vmstate has 5000 bytes where its manifest says 4999/,
  ),
  flatLie(
    'a hash that is another',
    (link) => {
      fileOf(link, 'rootfs.ext4').digest = `sha256:${OTHER}`;
    },
    /py\/rootfs\.ext4: its content is not what its manifest says/,
  ),
  flatLie(
    'a hash that is not the snapshot’s',
    (link) => {
      fileOf(link, 'vmstate').digest = `sha256:${OTHER}`;
    },
    /the digest of vmstate is not the one that the snapshot has/,
  ),
  flatLie(
    'a hash of another kind',
    (link) => {
      fileOf(link, 'vmstate').digest = 'md5:d41d8cd98f00b204e9800998ecf8427e';
    },
    /the digest of "vmstate" is not a SHA-256/,
  ),
  flatLie(
    'memory of another digest',
    (link) => {
      link.snapshot['memory_digest'] = OTHER;
      fileOf(link, 'memory.bin').digest = `forkd-memory-1:${OTHER}`;
    },
    /py\/memory\.bin: its content is not what|memory\.sums is of other memory/,
  ),
  flatLie(
    'leaves of other memory',
    (link) => {
      link.files = link.files.filter(({ name }) => name !== 'memory.sums');
    },
    /"py\/memory\.sums" comes where py\/rootfs\.ext4 should/,
  ),
  flatLie(
    'more memory than a guest may have',
    (link) => {
      link.snapshot.guest['mem_size_mib'] = 1e9;
    },
    /`guest\.mem_size_mib` is not 64 to 65536/,
  ),
  flatLie(
    'more memory than its file has',
    (link) => {
      link.snapshot.guest['mem_size_mib'] = 128;
    },
    /the size of memory\.(sums|bin), \d+ bytes, does not fit/,
  ),
  flatLie(
    'more processors than a guest may have',
    (link) => {
      link.snapshot.guest['vcpus'] = 4096;
    },
    /`guest\.vcpus` is not 1 to 32/,
  ),
  flatLie(
    'a root file system of exabytes',
    (link) => {
      link.snapshot['rootfs_bytes'] = 2 ** 52;
      Object.assign(fileOf(link, 'rootfs.ext4'), { size: 2 ** 52, stored: 0 });
    },
    /the size of rootfs\.ext4, \d+ bytes, does not fit|unfolds to/,
  ),
  flatLie(
    'more content than the limit',
    (link) => {
      const size = 65 * 1024 * 1024;
      link.snapshot['rootfs_bytes'] = size;
      Object.assign(fileOf(link, 'rootfs.ext4'), { size, stored: size });
    },
    /the pack has \d+ bytes of content, and this daemon takes at most 67108864 \(--unpack-limit-mib\)/,
  ),
  flatLie(
    'volumes of the host',
    (link) => {
      link.snapshot['volumes'] = [{ host_path: '/etc/shadow', guest_path: '/x' }];
    },
    /it has volumes, which are files of another host/,
  ),
  flatLie(
    'a device state elsewhere',
    (link) => {
      link.snapshot['vmstate'] = '/etc/passwd';
    },
    /`vmstate` is not a file name/,
  ),
  flatLie(
    'a memory elsewhere',
    (link) => {
      link.snapshot['memory'] = 'rootfs.ext4';
    },
    /`memory` is not memory\.bin/,
  ),
  flatLie(
    'an engine of many words',
    (link) => {
      link.snapshot.engine['cpu'] = `max,${'x'.repeat(5000)}`;
    },
    /longer than 200 characters/,
  ),
  flatLie(
    'a snapshot without an engine',
    (link) => {
      Reflect.deleteProperty(link.snapshot, 'engine');
    },
    /missing field `engine`/,
  ),
  flatLie(
    'a processor that is not this host’s',
    (link) => {
      link.snapshot.engine['cpu'] = 'host,+evil';
    },
    /cannot be restored here: it was made with CPU model host,\+evil, and this host has max/,
    409,
  ),
  flatLie(
    'a snapshot of another architecture',
    (link) => {
      link.snapshot.guest['arch'] = 'riscv64';
    },
    /made with CPU architecture riscv64, and this host has/,
    409,
  ),
  chainLie(
    'a chain that is a cycle',
    ([first, second]) => {
      Object.assign(first?.snapshot ?? {}, { parent_tag: 'c2' });
      Object.assign(second?.snapshot ?? {}, {});
    },
    /is not a SHA-256|parent c2 of its first snapshot py is missing/,
  ),
  chainLie(
    'a snapshot that is its own parent',
    (links) => {
      nth(links, 1).snapshot['parent_tag'] = 'c1';
    },
    /the chain is a cycle: c1 is its own parent/,
  ),
  chainLie(
    'a parent that is missing',
    (links, manifest) => {
      manifest.snapshots = links.slice(1);
    },
    /the parent py of its first snapshot c1 is missing/,
  ),
  chainLie(
    'a parent in between that is missing',
    (links, manifest) => {
      manifest.snapshots = [nth(links, 0), nth(links, 2)];
    },
    /snapshot c2 should be stored on top of py, but its parent is c1/,
  ),
  chainLie(
    'a parent that climbs out',
    (links) => {
      nth(links, 1).snapshot['parent_tag'] = '../py';
    },
    /`parent_tag` is no tag/,
  ),
  chainLie(
    'a parent with other memory',
    (links) => {
      nth(links, 1).snapshot['parent_content_hash'] = OTHER;
    },
    /c1 was stored on top of other memory than py has/,
  ),
  chainLie(
    'two snapshots with one tag',
    (links) => {
      nth(links, 2).tag = 'c1';
    },
    /two snapshots with the tag c1/,
  ),
  chainLie(
    'a chain of 34',
    (links, manifest) => {
      manifest.snapshots = Array.from({ length: 34 }, () => nth(links, 0));
    },
    /its chain has 34 links, and at most 33 are possible/,
  ),
  chainLie(
    'a child with more memory than its parent',
    (links) => {
      nth(links, 2).snapshot.guest['mem_size_mib'] = 128;
    },
    /does not fit|MiB of memory/,
  ),
];

hostileSuite('whose manifest lies', MANIFESTS);
