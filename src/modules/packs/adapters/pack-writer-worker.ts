import { spawn } from 'node:child_process';
import { closeSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Pack, pack as tarPack } from 'tar-stream';
import { MEMORY_FILE, SUMS_FILE } from '../../snapshots/domain/manifest';
import type { WriteJob, WriteReport } from '../domain/jobs';
import {
  PACK_FORMAT,
  PACK_MANIFEST_FILE,
  type PackManifest,
  type PackedSnapshot,
  parsePackManifest,
} from '../domain/pack-manifest';
import { contentsOf, type PackMember, storedBytes } from '../domain/pack-members';
import { filesOf, memoryDigest, type PackedFile } from '../domain/packed-files';
import { encodeSparseMap, type Extent, sparseRecords } from '../domain/sparse-map';
import { ZSTD, ZSTD_PACK_ARGS } from './zstd';
import { imageExtents, type ScannedFile, scanFile } from './file-scan';
import { runWorker, WorkerError } from './worker-main';

/**
 * The process that writes a pack to its standard output. All it reads, hashes and compresses is out of the daemon's way, and
 * ends with it when it is killed.
 */

const READ_BYTES = 1024 * 1024;

/** By path in the archive. */
type Scans = Map<string, ScannedFile>;

function scanOne(job: WriteJob, tag: string, name: string): ScannedFile {
  const path = join(job.dir, tag, name);
  const link = job.snapshots.find((each) => each.tag === tag);
  if (name !== MEMORY_FILE || link === undefined) return scanFile(path);
  const { size } = statSync(path);
  const { memory_digest: digest } = link.snapshot;
  const extents = imageExtents(join(job.dir, tag, SUMS_FILE), size, digest) ?? scanFile(path).extents;
  return { size, digest: memoryDigest(digest), extents };
}

/** Files that are the same one on disk are read once. */
function scanAll(job: WriteJob): Scans {
  const scans: Scans = new Map();
  const byInode = new Map<string, ScannedFile>();
  for (const { tag, snapshot } of job.snapshots) {
    for (const name of filesOf(snapshot)) {
      const found = statSync(join(job.dir, tag, name), { throwIfNoEntry: false });
      if (found === undefined && name === SUMS_FILE) continue;
      const key = `${found?.dev ?? 0}:${found?.ino ?? tag + name}`;
      const scan = byInode.get(key) ?? scanOne(job, tag, name);
      byInode.set(key, scan);
      scans.set(`${tag}/${name}`, scan);
    }
  }
  return scans;
}

function manifestOf(job: WriteJob, scans: Scans): PackManifest {
  const snapshots = job.snapshots.map(({ tag, snapshot }): PackedSnapshot => {
    const files = filesOf(snapshot).flatMap((name): PackedFile[] => {
      const scan = scans.get(`${tag}/${name}`);
      if (scan === undefined) return [];
      const stored = scan.extents.reduce((sum, { length }) => sum + length, 0);
      return [{ name, size: scan.size, stored, digest: scan.digest }];
    });
    return { tag, snapshot, files };
  });
  const manifest = {
    forkd_pack: PACK_FORMAT,
    tag: job.snapshots.at(-1)?.tag ?? '',
    made_by: job.madeBy,
    created_at_unix: job.createdAtUnix,
    snapshots,
  };
  // Nobody could unpack what contradicts itself.
  return parsePackManifest(JSON.stringify(manifest));
}

async function addMember(
  tar: Pack,
  job: WriteJob,
  { path, file }: PackMember,
  extents: readonly Extent[],
): Promise<void> {
  const sparse = file.stored < file.size;
  const map = sparse ? encodeSparseMap(file.size, extents) : undefined;
  const entry = tar.entry({
    name: path,
    size: file.stored + (map?.length ?? 0),
    mode: 0o600,
    mtime: new Date(job.createdAtUnix * 1000),
    ...(sparse ? { pax: sparseRecords(path, file.size) } : {}),
  });
  const write = async (data: Buffer): Promise<void> => {
    if (!entry.write(data)) {
      await new Promise<void>((resolve) => {
        entry.once('drain', resolve);
      });
    }
  };
  if (map !== undefined) await write(map);
  const fd = openSync(join(job.dir, path), 'r');
  try {
    for (const { offset, length } of extents) {
      for (let done = 0; done < length;) {
        // A buffer of its own for each piece, as it is on its way for a while.
        const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, length - done));
        const count = readSync(fd, buffer, 0, buffer.length, offset + done);
        if (count === 0) throw new WorkerError('internal', `${path} became shorter while it was read`);
        await write(buffer.subarray(0, count));
        done += count;
      }
    }
  } finally {
    closeSync(fd);
  }
  await new Promise<void>((resolve, reject) => {
    entry.once('error', reject);
    entry.once('close', resolve);
    entry.end(undefined);
  });
}

async function addAll(tar: Pack, job: WriteJob, manifest: PackManifest, scans: Scans): Promise<void> {
  const mtime = new Date(job.createdAtUnix * 1000);
  tar.entry({ name: PACK_MANIFEST_FILE, mode: 0o600, mtime }, `${JSON.stringify(manifest, null, 2)}\n`);
  for (const member of contentsOf(manifest).members) {
    await addMember(tar, job, member, scans.get(member.path)?.extents ?? []);
  }
  tar.finalize();
}

async function main(job: WriteJob): Promise<void> {
  const scans = scanAll(job);
  const manifest = manifestOf(job, scans);
  const report: WriteReport = { content: storedBytes(manifest) };
  writeSync(2, `${JSON.stringify(report)}\n`);
  const zstd = spawn(ZSTD, ZSTD_PACK_ARGS, { stdio: ['pipe', 'inherit', 'inherit'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    zstd.once('error', reject);
    zstd.once('exit', resolve);
  });
  const tar = tarPack();
  await Promise.all([
    addAll(tar, job, manifest, scans),
    pipeline(tar, zstd.stdin),
    ended.then((code) => {
      if (code !== 0) throw new WorkerError('internal', `zstd ended with code ${code ?? 'of a signal'}`);
    }),
  ]);
}

runWorker((job) => main(job as WriteJob));
