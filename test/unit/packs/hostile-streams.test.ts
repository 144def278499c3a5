import { createHash } from 'node:crypto';
import { compressed } from '../../support/packs';
import { hostileSuite } from './hostile-suite';
import { archive, type HostilePack } from './spoilt-packs';

/** What is no whole archive. */
const STREAMS: readonly HostilePack[] = [
  { name: 'nothing at all', make: () => Buffer.alloc(0), error: /not usable: (it is empty|it is damaged)/ },
  {
    name: 'text',
    make: () => Buffer.from('hello, I am a pack\n'),
    error: /no zstd archive \(unsupported format\)/,
  },
  { name: 'random bytes', make: () => createHash('sha512').update('x').digest(), error: /no zstd archive/ },
  {
    name: 'zstd of text',
    make: () => compressed(Buffer.from('hello, I am a pack\n'.repeat(100))),
    error: /no tar archive/,
  },
  { name: 'zstd of nothing', make: () => compressed(Buffer.alloc(0)), error: /it is empty/ },
  { name: 'an archive of nothing', make: () => archive([]), error: /it is empty/ },
  {
    name: 'a pack that is cut short',
    make: ({ flat }) => flat.subarray(0, Math.floor(flat.length / 2)),
    error: /damaged, cut short/,
  },
  {
    name: 'a pack without its last byte',
    make: ({ flat }) => flat.subarray(0, -1),
    error: /damaged, cut short/,
  },
  {
    name: 'a pack with a byte that changed',
    make: ({ flat }) => {
      const changed = Buffer.from(flat);
      const at = Math.floor(flat.length / 2);
      changed[at] = (changed[at] ?? 0) ^ 0x55;
      return changed;
    },
    error: /damaged|hash mismatch|no tar archive|has more data|comes where/,
  },
  {
    name: 'a pack with bytes after it',
    make: ({ flat }) => Buffer.concat([flat, Buffer.from('and more')]),
    error: /damaged, cut short/,
  },
  {
    name: 'a bomb of zeros after the archive',
    make: ({ flatMembers }) => archive(flatMembers, Buffer.alloc(300 * 1024 * 1024)),
    error: /holds more than its manifest says/,
  },
  {
    name: 'a bomb of zeros and nothing else',
    make: () => compressed(Buffer.alloc(300 * 1024 * 1024)),
    error: /holds more than its manifest says/,
  },
  {
    name: 'a manifest that is no JSON',
    make: () => archive([{ header: { name: 'manifest.json' }, body: Buffer.from('{') }]),
    error: /its manifest is not JSON/,
  },
  {
    name: 'a manifest that is no object',
    make: () => archive([{ header: { name: 'manifest.json' }, body: Buffer.from('[]') }]),
    error: /not a JSON object/,
  },
  {
    name: 'a manifest that is no UTF-8',
    make: () => archive([{ header: { name: 'manifest.json' }, body: Buffer.from([0xff, 0xfe]) }]),
    error: /not UTF-8/,
  },
  {
    name: 'a manifest that is deep',
    make: () => archive([{ header: { name: 'manifest.json' }, body: Buffer.from('['.repeat(400_000)) }]),
    error: /not JSON|not a JSON object/,
  },
];

hostileSuite('that is no whole archive', STREAMS);
