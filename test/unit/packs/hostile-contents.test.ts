import { createHash } from 'node:crypto';
import { encodeSparseMap, sparseRecords } from '../../../src/modules/packs/domain/sparse-map';
import { MEMORY_BYTES } from '../../support/packs';
import { hostileSuite } from './hostile-suite';
import { archive, fileOf, type HostilePack, nth, replaced, withManifest } from './spoilt-packs';

/** memory.bin of the flat pack with another map of its holes. */
const withMap = (name: string, map: Buffer, error: RegExp, size = MEMORY_BYTES): HostilePack => ({
  name,
  make: ({ flatMembers }) =>
    archive(
      replaced(flatMembers, 'py/memory.bin', ({ body }) => {
        const pax = sparseRecords('py/memory.bin', size);
        return [{ header: { name: 'py/memory.bin', pax }, body: Buffer.concat([map, body.subarray(512)]) }];
      }),
    ),
  error,
});

const text = (content: string): Buffer => {
  const map = Buffer.alloc(512);
  map.write(content);
  return map;
};

/** Files that are not what they seem. */
const CONTENTS: readonly HostilePack[] = [
  withMap('a map of holes that is text', text('hello\n'), /its map of holes is not one/),
  withMap(
    'a map of holes with too many pieces',
    text('99999999\n'),
    /99999999 pieces, more than it can have/,
  ),
  withMap(
    'a map of holes beyond the file',
    encodeSparseMap(MEMORY_BYTES, [{ offset: MEMORY_BYTES, length: 65_536 }]),
    /out of order or range/,
  ),
  withMap(
    'a map of holes that overlaps itself',
    encodeSparseMap(MEMORY_BYTES, [
      { offset: 65_536, length: 65_536 },
      { offset: 65_536, length: 65_536 },
    ]),
    /out of order or range/,
  ),
  withMap(
    'a map of holes without pieces',
    encodeSparseMap(MEMORY_BYTES, []),
    /more data than its map of holes says/,
  ),
  withMap(
    'a map of holes with a number of 30 digits',
    text(`1\n0\n${'9'.repeat(30)}\n`),
    /its map of holes is not one/,
  ),
  withMap(
    'a sparse file that unfolds to more',
    encodeSparseMap(MEMORY_BYTES, []),
    /unfolds to 1125899906842624 bytes where its manifest says 67108864/,
    2 ** 50,
  ),
  {
    name: 'a sparse file of another format',
    make: ({ flatMembers }) =>
      archive(
        replaced(flatMembers, 'py/memory.bin', ({ body }) => [
          {
            header: { name: 'py/memory.bin', pax: { 'GNU.sparse.major': '0', 'GNU.sparse.minor': '1' } },
            body,
          },
        ]),
      ),
    error: /sparse in another way/,
  },
  {
    name: 'a diff that is none',
    make: async ({ chainedMembers }) => {
      const body = Buffer.alloc(8192, 'x');
      const members = withManifest(chainedMembers, ({ snapshots }) => {
        const link = nth(snapshots, 1);
        const digest = createHash('sha256').update(body).digest('hex');
        Object.assign(fileOf(link, 'memory.diff'), { size: 8192, stored: 8192, digest: `sha256:${digest}` });
        Object.assign(link.snapshot, {
          diff_sha256: digest,
          memory_seal: { ino: '1', mtime_ns: '1', bytes: 8192 },
        });
      });
      return archive(
        replaced(members, 'c1/memory.diff', () => [{ header: { name: 'c1/memory.diff' }, body }]),
      );
    },
    error: /c1\/memory\.diff: it is not a memory diff/,
  },
  {
    name: 'a diff that gives other memory',
    make: async ({ chainedMembers }) => {
      const good = nth(
        chainedMembers.filter(({ header }) => header.name === 'c1/memory.diff'),
        0,
      ).body;
      const body = Buffer.from(good);
      body[body.length - 1] = (body.at(-1) ?? 0) ^ 1;
      const members = withManifest(chainedMembers, ({ snapshots }) => {
        const link = nth(snapshots, 1);
        const digest = createHash('sha256').update(body).digest('hex');
        fileOf(link, 'memory.diff').digest = `sha256:${digest}`;
        link.snapshot['diff_sha256'] = digest;
      });
      return archive(
        replaced(members, 'c1/memory.diff', () => [{ header: { name: 'c1/memory.diff' }, body }]),
      );
    },
    error: /c1\/memory\.diff does not give the memory/,
  },
];

hostileSuite('whose files are not what they seem', CONTENTS);
