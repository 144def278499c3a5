import { closeSync, constants, fsync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { PAGE_BYTES } from '../../memory/domain/pagemap';
import { badPack } from '../domain/pack-manifest';
import type { PackMember } from '../domain/pack-members';
import { HOLE_BYTES } from '../domain/packed-files';
import { type Extent, SparseMapReader } from '../domain/sparse-map';
import { type ContentHash, contentHashFor } from './content-hash';

const ZERO_PAGE = Buffer.alloc(PAGE_BYTES);

/** Writes one member of a pack to its file, and makes sure that it is what the manifest says. */
export class MemberFile {
  private readonly fd: number;
  private readonly hash: ContentHash;
  private readonly map: SparseMapReader | undefined;
  private extent = 0;
  private within = 0;
  private stored = 0;

  /** @param sparse whether the member begins with a map of its holes. */
  constructor(
    path: string,
    private readonly member: PackMember,
    sparse: boolean,
  ) {
    const { size, digest } = member.file;
    this.map = sparse ? new SparseMapReader(size, Math.ceil(size / HOLE_BYTES) + 1) : undefined;
    this.hash = contentHashFor(digest, size);
    this.fd = openSync(
      path,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    ftruncateSync(this.fd, size);
  }

  /** Takes the next bytes of the member. */
  write(data: Buffer): void {
    let rest = data;
    if (this.map?.done === false) {
      try {
        rest = this.map.push(data);
      } catch (error) {
        throw this.refusal(error instanceof Error ? error.message : String(error));
      }
    }
    while (rest.length > 0) {
      const { offset, length } = this.currentExtent();
      const count = Math.min(rest.length, length - this.within);
      this.put(offset + this.within, rest.subarray(0, count));
      this.within += count;
      rest = rest.subarray(count);
    }
  }

  /** Judges the file and makes it durable. @throws DomainError invalid when it is not what the manifest says. */
  async finish(): Promise<void> {
    const { file } = this.member;
    if (this.map?.done === false || this.stored !== file.stored)
      throw this.refusal(`it has ${this.stored} bytes of data where its manifest says ${file.stored}`);
    if (this.hash.finish() !== file.digest)
      throw this.refusal('its content is not what its manifest says (hash mismatch)');
    await new Promise<void>((resolve, reject) => {
      fsync(this.fd, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  close(): void {
    closeSync(this.fd);
  }

  private currentExtent(): Extent {
    if (this.map === undefined) return { offset: 0, length: this.member.file.size };
    for (;;) {
      const extent = this.map.extents[this.extent];
      if (extent === undefined) throw this.refusal('it has more data than its map of holes says');
      if (this.within < extent.length) return extent;
      this.extent++;
      this.within = 0;
    }
  }

  private put(offset: number, data: Buffer): void {
    this.stored += data.length;
    if (this.stored > this.member.file.stored) throw this.refusal('it has more data than its manifest says');
    this.hash.update(offset, data);
    // Pages of zeros become holes again, whatever the pack calls data.
    let from = 0;
    for (let at = 0; at < data.length;) {
      const length = Math.min(PAGE_BYTES - ((offset + at) % PAGE_BYTES), data.length - at);
      if (length === PAGE_BYTES && data.subarray(at, at + length).equals(ZERO_PAGE)) {
        this.writeRun(data, from, at, offset);
        from = at + length;
      }
      at += length;
    }
    this.writeRun(data, from, data.length, offset);
  }

  private writeRun(data: Buffer, from: number, to: number, offset: number): void {
    let done = from;
    while (done < to) done += writeSync(this.fd, data, done, to - done, offset + done);
  }

  private refusal(reason: string): Error {
    return badPack(`${this.member.path}: ${reason}`);
  }
}
