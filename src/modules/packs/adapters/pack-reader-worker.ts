import { spawn } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract as tarExtract, type Extract, type Header } from 'tar-stream';
import { DomainError, errnoOf } from '../../../common/errors/domain-error';
import { syncPath } from '../../../common/os/atomic-file';
import { digestOf } from '../../memory/domain/digest';
import { SUMS_FILE } from '../../snapshots/domain/manifest';
import type { ReadJob, ReadReport } from '../domain/jobs';
import { badPack, MAX_MANIFEST_BYTES, type PackManifest, parsePackManifest } from '../domain/pack-manifest';
import { contentsOf, type PackMember, storedBytes } from '../domain/pack-members';
import { judgeManifestMember, judgeMember } from '../domain/member-rules';
import { MemberFile } from './member-file';
import { runWorker, WorkerError } from './worker-main';
import { ZSTD, ZSTD_UNPACK_ARGS } from './zstd';

/**
 * The process that reads a pack from its standard input. A pack comes from anywhere: it is taken apart here, where it can
 * reach nothing of the daemon, and written into a directory that nobody else looks at before all of it was found right.
 */

/** What an archive has besides content: headers, maps of holes, padding to a tape's records. */
const OVERHEAD_BYTES = 64 * 1024 * 1024;
const MIB = 1024 * 1024;
/** Stays free whatever is unpacked. */
const RESERVE_BYTES = 64 * MIB;

class Unpacking {
  private manifest: PackManifest | undefined;
  private members: PackMember[] = [];
  private next = 0;
  private readonly syncing: Promise<void>[] = [];

  constructor(private readonly job: ReadJob) {}

  /** Takes one member of the archive. */
  async take(header: Header, content: AsyncIterable<unknown>): Promise<void> {
    if (this.manifest === undefined) {
      judgeManifestMember(header);
      this.begin(parsePackManifest(await textOf(content)));
      return;
    }
    const member = this.members[this.next];
    const sparse = judgeMember(header, member, this.members.slice(0, this.next));
    this.next++;
    if (member !== undefined) await this.write(member, sparse, content);
  }

  /** The most the archive may hold; known once its manifest was read. */
  get maxBytes(): number {
    return this.manifest === undefined
      ? MAX_MANIFEST_BYTES + OVERHEAD_BYTES
      : storedBytes(this.manifest) + OVERHEAD_BYTES;
  }

  /** To be called at the archive's end. */
  async finish(): Promise<void> {
    const { manifest } = this;
    if (manifest === undefined) throw badPack('it is empty');
    const missing = this.members[this.next];
    if (missing !== undefined) throw badPack(`it ends before ${missing.path}`);
    await Promise.all(this.syncing);
    for (const { path, of } of contentsOf(manifest).twins) {
      linkSync(join(this.job.dir, of.path), join(this.job.dir, path));
    }
    for (const { tag, snapshot, files } of manifest.snapshots) {
      const dir = join(this.job.dir, tag);
      if (files.some(({ name }) => name === SUMS_FILE)) {
        const leaves = readFileSync(join(dir, SUMS_FILE));
        if (digestOf(snapshot.guest.mem_size_mib * MIB, leaves) !== snapshot.memory_digest)
          throw badPack(`${tag}/${SUMS_FILE} is of other memory than the snapshot`);
      }
      await syncPath(dir);
    }
  }

  private begin(manifest: PackManifest): void {
    this.manifest = manifest;
    this.members = contentsOf(manifest).members;
    const needed = storedBytes(manifest);
    if (needed > this.job.maxBytes) {
      throw new WorkerError(
        'invalid',
        `the pack has ${needed} bytes of content, and this daemon takes at most ${this.job.maxBytes} (--unpack-limit-mib)`,
      );
    }
    const { bavail, bsize } = statfsSync(this.job.dir);
    if (needed + RESERVE_BYTES > bavail * bsize) {
      throw new WorkerError(
        'unavailable',
        `the pack has ${needed} bytes of content, and there are ${bavail * bsize} free where snapshots are kept`,
      );
    }
    report({ step: 'manifest', manifest });
    for (const { tag } of manifest.snapshots) mkdirSync(join(this.job.dir, tag), { mode: 0o700 });
  }

  private async write(member: PackMember, sparse: boolean, content: AsyncIterable<unknown>): Promise<void> {
    const file = new MemberFile(join(this.job.dir, member.path), member, sparse);
    try {
      for await (const data of content) file.write(asBuffer(data));
    } catch (error) {
      file.close();
      throw error;
    }
    // The disk has its own pace; the next member is read meanwhile.
    const synced = file.finish().finally(() => {
      file.close();
    });
    synced.catch(() => undefined);
    this.syncing.push(synced);
  }
}

function report(line: ReadReport): void {
  const data = Buffer.from(`${JSON.stringify(line)}\n`);
  for (let done = 0; done < data.length;) done += writeSync(1, data, done);
}

function asBuffer(data: unknown): Buffer {
  if (Buffer.isBuffer(data)) return data;
  if (!(data instanceof Uint8Array)) throw new Error('the archive gave no bytes');
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

async function textOf(content: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of content) chunks.push(asBuffer(chunk));
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch {
    throw badPack('its manifest is not UTF-8');
  }
}

/** Lets no more through than the archive may hold. */
function bounded(unpacking: Unpacking): Transform {
  let passed = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      passed += chunk.length;
      if (passed > unpacking.maxBytes) done(badPack('it holds more than its manifest says'));
      else done(null, chunk);
    },
  });
}

/** Takes the archive apart as it comes. @throws DomainError invalid when it is not right from its first to its last byte. */
async function unpackStream(unpacking: Unpacking): Promise<void> {
  const zstd = spawn(ZSTD, ZSTD_UNPACK_ARGS, { stdio: ['inherit', 'pipe', 'pipe'] });
  let complaints = '';
  zstd.stderr.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk.toString('latin1')).slice(-2000);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    zstd.once('error', reject);
    zstd.once('close', resolve);
  });
  const archive = tarExtract();
  const fed = settled(pipeline(zstd.stdout, bounded(unpacking), archive));
  const taken = settled(takeAll(unpacking, archive));
  const failures = (await Promise.all([taken, fed])).filter((error) => error !== undefined);
  const told = failures.find((error) => error instanceof DomainError || error instanceof WorkerError);
  const readToItsEnd = zstd.stdout.readableEnded;
  if (told !== undefined || !readToItsEnd) zstd.kill('SIGKILL');
  const code = await ended;
  if (told !== undefined) throw told;
  if (readToItsEnd && code !== 0)
    throw badPack(`it is damaged, cut short, or no zstd archive${reasonIn(complaints)}`);
  const [failure] = failures;
  if (failure instanceof Error && errnoOf(failure) === undefined)
    throw badPack(`it is no tar archive: ${failure.message}`);
  if (failure !== undefined) throw failure;
}

async function takeAll(unpacking: Unpacking, archive: Extract): Promise<void> {
  for await (const entry of archive) await unpacking.take(entry.header, entry);
}

function settled(work: Promise<void>): Promise<Error | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
  );
}

/** What zstd says last, without the name it has for its input. */
function reasonIn(complaints: string): string {
  const line = complaints.trim().split('\n').at(-1) ?? '';
  const reason = line
    .replace(/^(zstd: )?\/\*stdin\*\\ ?: ?/, '')
    .trim()
    .slice(0, 200);
  return reason === '' ? '' : ` (${reason})`;
}

runWorker(async (job) => {
  const unpacking = new Unpacking(job as ReadJob);
  await unpackStream(unpacking);
  await unpacking.finish();
  report({ step: 'done' });
});
