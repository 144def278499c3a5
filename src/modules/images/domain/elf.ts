const INTERPRETER_SEGMENT = 3;
const NOTE_SEGMENT = 4;
const SECTION_NO_BITS = 8;
const PROGRAM_HEADER = 56;
const SECTION_HEADER = 64;
/** Type of the Xen note that holds the 32-bit entry point of the PVH boot protocol. */
const PVH_ENTRY_NOTE = 18;

export interface FileRange {
  readonly offset: number;
  readonly length: number;
}

/** Bytes of the start of an ELF file that {@link noteSegments} needs. */
export const ELF_HEAD_BYTES = 4096;

/** The note segments of a little-endian 64-bit ELF file, from its first {@link ELF_HEAD_BYTES}; empty for other files. */
export function noteSegments(head: Buffer): FileRange[] {
  return segments(head, NOTE_SEGMENT);
}

/** Whether an executable is complete in itself: an ELF file that asks for no program interpreter. */
export function isStaticExecutable(head: Buffer): boolean {
  return isElf64(head) && segments(head, INTERPRETER_SEGMENT).length === 0;
}

function segments(head: Buffer, type: number): FileRange[] {
  if (!isElf64(head)) return [];
  const start = Number(head.readBigUInt64LE(32));
  const count = head.readUInt16LE(56);
  const ranges: FileRange[] = [];
  for (let index = 0; index < count; index += 1) {
    const at = start + index * PROGRAM_HEADER;
    if (at + PROGRAM_HEADER > head.length) break;
    if (head.readUInt32LE(at) !== type) continue;
    ranges.push({
      offset: Number(head.readBigUInt64LE(at + 8)),
      length: Number(head.readBigUInt64LE(at + 32)),
    });
  }
  return ranges;
}

/** Whether a note segment says that the kernel can be started by a PVH loader, as `-M microvm` does. */
export function hasPvhEntry(notes: Buffer): boolean {
  let at = 0;
  while (at + 12 <= notes.length) {
    const nameSize = notes.readUInt32LE(at);
    const descriptionSize = notes.readUInt32LE(at + 4);
    const name = notes.toString('latin1', at + 12, at + 12 + nameSize);
    if (notes.readUInt32LE(at + 8) === PVH_ENTRY_NOTE && name === 'Xen\0') return true;
    at += 12 + align(nameSize) + align(descriptionSize);
  }
  return false;
}

/** The content of a section of a little-endian 64-bit ELF file, or undefined. */
export function elfSection(file: Buffer, wanted: string): Buffer | undefined {
  if (!isElf64(file)) return undefined;
  const start = Number(file.readBigUInt64LE(40));
  const count = file.readUInt16LE(60);
  const namesAt = start + file.readUInt16LE(62) * SECTION_HEADER;
  if (start === 0 || start + count * SECTION_HEADER > file.length || namesAt + SECTION_HEADER > file.length) {
    return undefined;
  }
  const names = Number(file.readBigUInt64LE(namesAt + 24));
  for (let index = 0; index < count; index += 1) {
    const at = start + index * SECTION_HEADER;
    const nameAt = names + file.readUInt32LE(at);
    const end = file.indexOf(0, nameAt);
    if (end < 0 || file.toString('latin1', nameAt, end) !== wanted) continue;
    if (file.readUInt32LE(at + 4) === SECTION_NO_BITS) return undefined;
    const offset = Number(file.readBigUInt64LE(at + 24));
    return file.subarray(offset, offset + Number(file.readBigUInt64LE(at + 32)));
  }
  return undefined;
}

function isElf64(file: Buffer): boolean {
  return file.length >= 64 && file.readUInt32BE(0) === 0x7f454c46 && file[4] === 2 && file[5] === 1;
}

function align(size: number): number {
  return (size + 3) & ~3;
}
