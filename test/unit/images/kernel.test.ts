import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findKernelPayload } from '../../../src/modules/images/domain/bzimage';
import { hasPvhEntry, isStaticExecutable, noteSegments } from '../../../src/modules/images/domain/elf';
import {
  loadOrder,
  moduleDependencies,
  moduleName,
  parseBuiltins,
} from '../../../src/modules/images/domain/modules';
import { elfWithProgramHeaders, elfWithSection } from './elf-files';

const MAGICS = {
  gzip: '1f8b0800',
  xz: 'fd377a585a00',
  zstd: '28b52ffd',
  lz4: '02214c18',
};

function bzImage(payload: Buffer, options: { version?: number; length?: number } = {}): Buffer {
  const setupSectors = 2;
  const image = Buffer.alloc((setupSectors + 1) * 512 + 64 + payload.length + 16);
  image.writeUInt8(setupSectors, 0x1f1);
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt16LE(options.version ?? 0x020f, 0x206);
  image.writeUInt32LE(64, 0x248);
  image.writeUInt32LE(options.length ?? payload.length, 0x24c);
  payload.copy(image, (setupSectors + 1) * 512 + 64);
  return image;
}

function payloadOf(magic: string): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(123_456);
  return Buffer.concat([Buffer.from(magic, 'hex'), Buffer.alloc(100, 7), size]);
}

describe('kernel payload', () => {
  for (const [compression, magic] of Object.entries(MAGICS)) {
    it(`is found when compressed with ${compression}`, () => {
      const payload = payloadOf(magic);
      const found = findKernelPayload(bzImage(payload));
      assert.equal(found.compression, compression);
      assert.equal(found.offset, 3 * 512 + 64);
      assert.equal(found.uncompressedLength, 123_456);
      // Only gzip holds the size itself; behind the others it would be taken for garbage.
      assert.equal(found.length, compression === 'gzip' ? payload.length : payload.length - 4);
    });
  }

  it('is the file itself when that is an ELF kernel', () => {
    const elf = elfWithProgramHeaders([]);
    assert.deepEqual(findKernelPayload(elf), {
      compression: 'none',
      offset: 0,
      length: elf.length,
      uncompressedLength: elf.length,
    });
  });

  it('is refused with the reason', () => {
    assert.throws(() => findKernelPayload(Buffer.alloc(4096)), /neither a bzImage nor an ELF/);
    assert.throws(() => findKernelPayload(bzImage(payloadOf('deadbeef'))), /unknown way.*deadbeef/);
    assert.throws(
      () => findKernelPayload(bzImage(payloadOf(MAGICS.lz4), { version: 0x0207 })),
      /2\.7 is too old/,
    );
    assert.throws(() => findKernelPayload(bzImage(payloadOf(MAGICS.lz4), { length: 1 << 30 })), /cut short/);
  });
});

describe('PVH entry', () => {
  const note = (name: string, type: number): Buffer => {
    const header = Buffer.alloc(12);
    header.writeUInt32LE(name.length + 1, 0);
    header.writeUInt32LE(8, 4);
    header.writeUInt32LE(type, 8);
    const padded = Buffer.alloc((name.length + 4) & ~3);
    padded.write(name);
    return Buffer.concat([header, padded, Buffer.alloc(8)]);
  };

  it('is seen among other notes', () => {
    assert.equal(hasPvhEntry(Buffer.concat([note('GNU', 3), note('Xen', 6), note('Xen', 18)])), true);
    assert.equal(hasPvhEntry(Buffer.concat([note('GNU', 18), note('Xen', 6)])), false);
    assert.equal(hasPvhEntry(Buffer.alloc(0)), false);
  });

  it('is looked for in the note segments', () => {
    const elf = elfWithProgramHeaders([
      { type: 1, offset: 100, length: 10 },
      { type: 4, offset: 200, length: 20 },
    ]);
    assert.deepEqual(noteSegments(elf), [{ offset: 200, length: 20 }]);
    assert.deepEqual(noteSegments(Buffer.from('not an ELF file')), []);
  });
});

describe('static executable', () => {
  it('has no program interpreter', () => {
    assert.equal(isStaticExecutable(elfWithProgramHeaders([{ type: 1, offset: 0, length: 1 }])), true);
    assert.equal(isStaticExecutable(elfWithProgramHeaders([{ type: 3, offset: 0, length: 1 }])), false);
    assert.equal(isStaticExecutable(Buffer.from('#!/bin/sh')), false);
  });
});

describe('kernel modules', () => {
  const tree: Record<string, string[]> = {
    virtio_net: ['net_failover', 'virtio', 'virtio_ring'],
    net_failover: ['failover'],
    failover: [],
    virtio_ring: ['virtio'],
    virtio: [],
    overlay: ['exportfs'],
  };
  const dependenciesOf = (name: string): string[] | undefined => tree[name];

  it('load after what they depend on, each once, without the built-in ones', () => {
    const order = loadOrder(['virtio', 'virtio_net', 'overlay'], new Set(['exportfs']), dependenciesOf);
    assert.deepEqual(order, ['virtio', 'failover', 'net_failover', 'virtio_ring', 'virtio_net', 'overlay']);
  });

  it('are named when they are missing, with the module that needs them', () => {
    assert.throws(
      () => loadOrder(['overlay'], new Set(), dependenciesOf),
      /no module exportfs \(needed by overlay\)/,
    );
  });

  it('cannot depend on each other', () => {
    const circle: Record<string, string[]> = { a: ['b'], b: ['a'] };
    assert.throws(() => loadOrder(['a'], new Set(), (name) => circle[name]), /a -> b -> a/);
  });

  it('tell their dependencies in .modinfo', () => {
    const info = 'license=GPL\0depends=virtio,virtio-ring\0name=x\0';
    assert.deepEqual(moduleDependencies(elfWithSection('.modinfo', Buffer.from(info))), [
      'virtio',
      'virtio_ring',
    ]);
    assert.deepEqual(moduleDependencies(elfWithSection('.modinfo', Buffer.from('depends=\0'))), []);
    assert.throws(() => moduleDependencies(elfWithSection('.text', Buffer.from('x'))), /no \.modinfo/);
  });

  it('have the name the kernel knows them by', () => {
    assert.equal(moduleName('kernel/drivers/crypto/crc32-pclmul.ko.xz'), 'crc32_pclmul');
    assert.deepEqual(
      parseBuiltins('kernel/fs/ext4/ext4.ko\nkernel/lib/crc16.ko\n'),
      new Set(['ext4', 'crc16']),
    );
  });
});
