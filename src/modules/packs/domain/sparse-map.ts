/**
 * The map of a sparse file as GNU tar's pax format 1.0 has it (https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html):
 * decimal numbers with a line feed each, how many pieces of data there are, then offset and length of each; padded with
 * zeros to whole blocks. The pieces follow, one after the other.
 */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

const BLOCK = 512;
const LINE_FEED = 10;
const MAX_DIGITS = 16;

/** The pax records that tell GNU tar of a sparse member; the member's own size is that of map and data. */
export function sparseRecords(name: string, size: number): Record<string, string> {
  return {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': name,
    'GNU.sparse.realsize': String(size),
  };
}

export function encodeSparseMap(size: number, extents: readonly Extent[]): Buffer {
  const last = extents.at(-1);
  // Without it GNU tar would not know of a hole at the end.
  const all =
    last === undefined || last.offset + last.length < size
      ? [...extents, { offset: size, length: 0 }]
      : extents;
  const text = [all.length, ...all.flatMap(({ offset, length }) => [offset, length])].join('\n');
  const bytes = Buffer.byteLength(text) + 1;
  const map = Buffer.alloc(Math.ceil(bytes / BLOCK) * BLOCK);
  map.write(`${text}\n`);
  return map;
}

/** Reads a map that arrives in pieces. */
export class SparseMapReader {
  readonly extents: Extent[] = [];
  private readonly numbers: number[] = [];
  private digits = '';
  private read = 0;
  private count: number | undefined;
  private skip = 0;

  /** @param maxExtents more are refused. @param size of the whole file. */
  constructor(
    private readonly size: number,
    private readonly maxExtents: number,
  ) {}

  get done(): boolean {
    return this.count !== undefined && this.numbers.length === this.count * 2 + 1 && this.skip === 0;
  }

  /** Takes what belongs to the map and returns the rest. @throws Error when it is no map, or does not fit the file. */
  push(data: Buffer): Buffer {
    let at = 0;
    while (at < data.length && !this.done) {
      if (this.skip > 0) {
        const skipped = Math.min(this.skip, data.length - at);
        this.skip -= skipped;
        at += skipped;
        continue;
      }
      this.take(data[at] ?? 0);
      at++;
    }
    return data.subarray(at);
  }

  private take(byte: number): void {
    this.read++;
    if (byte !== LINE_FEED) {
      const digit = String.fromCharCode(byte);
      if (!/\d/.test(digit) || this.digits.length >= MAX_DIGITS)
        throw new Error('its map of holes is not one');
      this.digits += digit;
      return;
    }
    if (this.digits === '') throw new Error('its map of holes is not one');
    this.numbers.push(Number(this.digits));
    this.digits = '';
    this.count ??= this.limited(this.numbers[0] ?? 0);
    const { length } = this.numbers;
    if (length > 1 && length % 2 === 1)
      this.addExtent(this.numbers[length - 2] ?? 0, this.numbers[length - 1] ?? 0);
    if (length === this.count * 2 + 1) this.skip = (BLOCK - (this.read % BLOCK)) % BLOCK;
  }

  private limited(count: number): number {
    if (count > this.maxExtents)
      throw new Error(`its map of holes has ${count} pieces, more than it can have`);
    return count;
  }

  private addExtent(offset: number, length: number): void {
    const last = this.extents.at(-1);
    const from = last === undefined ? 0 : last.offset + last.length;
    if (!Number.isSafeInteger(offset + length) || offset < from || offset + length > this.size)
      throw new Error('its map of holes is out of order or range');
    this.extents.push({ offset, length });
  }
}
