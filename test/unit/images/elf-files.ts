interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly length: number;
}

function header(): Buffer {
  const head = Buffer.alloc(64);
  head.write('\x7fELF', 'latin1');
  head[4] = 2;
  head[5] = 1;
  return head;
}

/** A little-endian 64-bit ELF file that is nothing but its program headers. */
export function elfWithProgramHeaders(segments: readonly Segment[]): Buffer {
  const head = header();
  head.writeBigUInt64LE(64n, 32);
  head.writeUInt16LE(segments.length, 56);
  const entries = segments.map(({ type, offset, length }) => {
    const entry = Buffer.alloc(56);
    entry.writeUInt32LE(type, 0);
    entry.writeBigUInt64LE(BigInt(offset), 8);
    entry.writeBigUInt64LE(BigInt(length), 32);
    return entry;
  });
  return Buffer.concat([head, ...entries]);
}

/** A little-endian 64-bit ELF file with one section and the table of its name. */
export function elfWithSection(name: string, content: Buffer): Buffer {
  const head = header();
  const names = Buffer.from(`\0${name}\0`, 'latin1');
  const sectionsAt = 64 + content.length + names.length;
  head.writeBigUInt64LE(BigInt(sectionsAt), 40);
  head.writeUInt16LE(2, 60);
  head.writeUInt16LE(1, 62);
  const section = (nameAt: number, offset: number, length: number): Buffer => {
    const entry = Buffer.alloc(64);
    entry.writeUInt32LE(nameAt, 0);
    entry.writeUInt32LE(1, 4);
    entry.writeBigUInt64LE(BigInt(offset), 24);
    entry.writeBigUInt64LE(BigInt(length), 32);
    return entry;
  };
  return Buffer.concat([
    head,
    content,
    names,
    section(1, 64, content.length),
    section(0, 64 + content.length, names.length),
  ]);
}
