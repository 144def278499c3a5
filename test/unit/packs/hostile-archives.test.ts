import { compressed, rawHeader, sealed, tarOf, type Member } from '../../support/packs';
import { hostileSuite } from './hostile-suite';
import { archive, type HostilePack, replaced } from './spoilt-packs';

const renamed =
  (to: string): HostilePack['make'] =>
  ({ flatMembers }) =>
    archive(replaced(flatMembers, 'py/vmstate', (member) => [{ header: { name: to }, body: member.body }]));

/** The manifest of the flat pack, followed by raw bytes. */
const raw =
  (...blocks: Buffer[]): HostilePack['make'] =>
  async ({ flatMembers }) => {
    const head = await tarOf(flatMembers.slice(0, 1));
    return compressed(Buffer.concat([head.subarray(0, head.length - 1024), ...blocks, Buffer.alloc(1024)]));
  };

const kind = (name: string, type: string, link: string, error: RegExp): HostilePack => ({
  name,
  make: raw(rawHeader('py/vmstate', 0, type, { link })),
  error,
});

const padded = (data: Buffer): Buffer =>
  Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);

/** Archives with members that do not belong there. */
const ARCHIVES: readonly HostilePack[] = [
  {
    name: 'a name that climbs out',
    make: renamed('../../../outside'),
    error: /"\.\.\/\.\.\/\.\.\/outside" leads outside/,
  },
  {
    name: 'a name that climbs out of its directory',
    make: renamed('py/../../outside'),
    error: /leads outside/,
  },
  { name: 'an absolute name', make: renamed('/tmp/outside'), error: /"\/tmp\/outside" is an absolute path/ },
  {
    name: 'a name with a dot',
    make: renamed('./py/vmstate'),
    error: /"\.\/py\/vmstate" comes where py\/vmstate should/,
  },
  {
    name: 'a name that nobody listed',
    make: renamed('py/notes.txt'),
    error: /comes where py\/vmstate should/,
  },
  {
    name: 'a very long name',
    make: renamed('a/'.repeat(2000)),
    error: /comes where py\/vmstate should|and only files/,
  },
  {
    name: 'a name of 300 KiB',
    make: renamed('n'.repeat(300 * 1024)),
    error: /comes where py\/vmstate should/,
  },
  {
    name: 'a name with a line feed and an escape sequence',
    make: renamed('py/\n\u001b[31mred'),
    error: /^[\x20-\x7e…]*$/,
  },
  {
    name: 'a name that is no UTF-8',
    make: raw(rawHeader(Buffer.from([0x70, 0x79, 0x2f, 0xff, 0xfe]), 0, '0')),
    error: /comes where py\/vmstate should/,
  },
  {
    name: 'a name with a NUL',
    make: raw(rawHeader('py/vmstate\0/x', 5, '0'), padded(Buffer.from('hello'))),
    error: /has 5 bytes where its manifest says 5000/,
  },
  kind('a symbolic link', '2', '/etc/passwd', /"py\/vmstate" is a symlink, and only files are taken/),
  kind('a hard link', '1', '/etc/passwd', /is a link, and only files/),
  kind('a directory', '5', '', /is a directory, and only files/),
  kind('a character device', '3', '', /is a character-device, and only files/),
  kind('a block device', '4', '', /is a block-device, and only files/),
  kind('a fifo', '6', '', /is a fifo, and only files/),
  kind('a contiguous file', '7', '', /is a contiguous-file, and only files/),
  kind('an old sparse file', 'S', '', /of an unknown kind, and only files/),
  kind('a volume label', 'V', '', /of an unknown kind/),
  kind('a file that names a link', '0', '/etc/passwd', /is a link/),
  {
    name: 'the same member twice',
    make: ({ flatMembers }) => archive(replaced(flatMembers, 'py/vmstate', (member) => [member, member])),
    error: /"py\/vmstate" is in it twice/,
  },
  {
    name: 'a second manifest',
    make: ({ flatMembers }) => archive([...flatMembers.slice(0, 1), ...flatMembers]),
    error: /"manifest.json" is in it twice/,
  },
  {
    name: 'a member after the last one',
    make: ({ flatMembers }) =>
      archive([...flatMembers, { header: { name: 'more' }, body: Buffer.from('x') }]),
    error: /"more" is not in its manifest/,
  },
  {
    name: 'a second archive after the first',
    make: async ({ flatMembers }) =>
      compressed(Buffer.concat([await tarOf(flatMembers), await tarOf(flatMembers)])),
    error: /is in it twice/,
  },
  {
    name: 'members in another order',
    make: ({ flatMembers: [first, ...rest] }) => archive([first as Member, ...rest.reverse()]),
    error: /"py\/memory\.bin" comes where py\/vmstate should/,
  },
  {
    name: 'a member that is missing',
    make: ({ flatMembers }) => archive(flatMembers.slice(0, -1)),
    error: /it ends before py\/memory\.bin/,
  },
  {
    name: 'no manifest',
    make: ({ flatMembers }) => archive(flatMembers.slice(1)),
    error: /its first member is "py\/vmstate", but must be manifest\.json/,
  },
  {
    name: 'a pack of forkd 0.5',
    make: () =>
      archive([{ header: { name: 'manifest.toml' }, body: Buffer.from('forkd_pack_version = 2\n') }]),
    error: /one of forkd 0\.5, whose snapshots are of Firecracker/,
  },
  {
    name: 'a member that is longer than announced',
    make: ({ flatMembers }) =>
      archive(
        replaced(flatMembers, 'py/vmstate', ({ header, body }) => [
          { header, body: Buffer.concat([body, body]) },
        ]),
      ),
    error: /py\/vmstate has 10000 bytes where its manifest says 5000/,
  },
  {
    name: 'a member with another content',
    make: ({ flatMembers }) =>
      archive(
        replaced(flatMembers, 'py/vmstate', ({ header, body }) => [
          { header, body: Buffer.alloc(body.length, 1) },
        ]),
      ),
    error: /py\/vmstate: its content is not what its manifest says \(hash mismatch\)/,
  },
  {
    name: 'memory with another content',
    make: ({ flatMembers }) =>
      archive(
        replaced(flatMembers, 'py/memory.bin', ({ header, body }) => {
          const changed = Buffer.from(body);
          changed[600] = (changed[600] ?? 0) ^ 1;
          return [{ header, body: changed }];
        }),
      ),
    error: /py\/memory\.bin: its content is not what/,
  },
  {
    name: 'a header with a wrong checksum',
    make: raw(Buffer.from(rawHeader('py/vmstate', 0, '0').fill('9', 148, 154))),
    error: /no tar archive/,
  },
  {
    name: 'a size that is negative',
    make: () => {
      const header = rawHeader('manifest.json', 0, '0');
      header.fill(0xff, 124, 136);
      header[135] = 0xfe;
      return compressed(Buffer.concat([sealed(header), Buffer.alloc(1024)]));
    },
    error: /no tar archive/,
  },
  {
    name: 'a size of many exabytes',
    make: () => {
      const header = rawHeader('manifest.json', 0, '0');
      header.fill(0, 124, 136);
      header[124] = 0x80;
      header.fill(0x7f, 126, 136);
      return compressed(Buffer.concat([sealed(header), Buffer.alloc(4096)]));
    },
    error: /its manifest has .* bytes, and at most|no tar archive/,
  },
  {
    name: 'a pax header of gigabytes',
    make: raw(rawHeader('PaxHeader', 0o37777777777, 'x'), Buffer.alloc(8192, '1')),
    error: /no tar archive/,
  },
  {
    name: 'a manifest of megabytes',
    make: () => archive([{ header: { name: 'manifest.json' }, body: Buffer.alloc(2 * 1024 * 1024, ' ') }]),
    error: /its manifest has 2097152 bytes, and at most 1048576 are read/,
  },
];

hostileSuite('with members that do not belong there', ARCHIVES);
