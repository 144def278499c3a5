import { DomainError } from '../../../common/errors/domain-error';

export type Compression = 'none' | 'gzip' | 'xz' | 'zstd' | 'lz4';

/** Where the kernel proper is inside a kernel file. */
export interface KernelPayload {
  readonly compression: Compression;
  readonly offset: number;
  readonly length: number;
  /** Bytes after decompression. */
  readonly uncompressedLength: number;
}

const MAGIC: readonly (readonly [Compression, Buffer])[] = [
  ['none', Buffer.from([0x7f, 0x45, 0x4c, 0x46])],
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['lz4', Buffer.from([0x02, 0x21, 0x4c, 0x18])],
];

const SETUP_SECTORS = 0x1f1;
const HEADER_MAGIC = 0x202;
const PROTOCOL_VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
/** First version of the x86 boot protocol whose header tells where the payload is. */
const FIRST_WITH_PAYLOAD = 0x0208;
const SIZE_FIELD = 4;

/**
 * Finds the compressed vmlinux in an x86 bzImage (boot protocol 2.08 and later). A file that is an ELF kernel already is
 * its own payload.
 *
 * @throws DomainError internal when it is no kernel, is cut short, or is compressed in an unknown way.
 */
export function findKernelPayload(image: Buffer): KernelPayload {
  if (compressionAt(image, 0) === 'none') {
    return { compression: 'none', offset: 0, length: image.length, uncompressedLength: image.length };
  }
  if (
    image.length < PAYLOAD_LENGTH + 4 ||
    image.toString('latin1', HEADER_MAGIC, HEADER_MAGIC + 4) !== 'HdrS'
  ) {
    throw new DomainError('internal', 'the kernel file is neither a bzImage nor an ELF file');
  }
  const version = image.readUInt16LE(PROTOCOL_VERSION);
  if (version < FIRST_WITH_PAYLOAD) {
    throw new DomainError(
      'internal',
      `the kernel's boot protocol ${version >> 8}.${version & 255} is too old; 2.08 is needed`,
    );
  }
  // 0 stands for 4 sectors, for the sake of very old kernels.
  const setupSectors = image.readUInt8(SETUP_SECTORS) || 4;
  const offset = (setupSectors + 1) * 512 + image.readUInt32LE(PAYLOAD_OFFSET);
  const length = image.readUInt32LE(PAYLOAD_LENGTH);
  if (length <= SIZE_FIELD || offset + length > image.length) {
    throw new DomainError('internal', 'the kernel file is cut short');
  }
  const compression = compressionAt(image, offset);
  if (compression === undefined || compression === 'none') {
    const start = image.toString('hex', offset, offset + 6);
    throw new DomainError(
      'internal',
      `the kernel is compressed in an unknown way (its payload starts with ${start})`,
    );
  }
  // The build puts the uncompressed size behind the data; in gzip it is part of the format.
  return {
    compression,
    offset,
    length: compression === 'gzip' ? length : length - SIZE_FIELD,
    uncompressedLength: image.readUInt32LE(offset + length - SIZE_FIELD),
  };
}

function compressionAt(image: Buffer, offset: number): Compression | undefined {
  return MAGIC.find(([, magic]) => image.subarray(offset, offset + magic.length).equals(magic))?.[0];
}
