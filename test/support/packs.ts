import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract, type Header, pack as tarPack } from 'tar-stream';
import { writeDiff } from '../../src/modules/memory/adapters/diff-io';
import { MemoryImageService } from '../../src/modules/memory/memory-image.service';
import type { SnapshotManifest } from '../../src/modules/snapshots/domain/manifest';
import { SnapshotOpenerService } from '../../src/modules/snapshots/snapshot-opener.service';
import { type Artifacts, sealOf, SnapshotStore } from '../../src/modules/snapshots/snapshot-store';
import type { EngineProbe } from '../../src/modules/vmm/domain/vm';
import { VmmEngine } from '../../src/modules/vmm/ports/vmm-engine';
import type { TestApp } from './app';
import { sampleManifest } from './manifest';

const MIB = 1024 * 1024;
const PAGE = 4096;
export const MEMORY_BYTES = 64 * MIB;

/** A member of an archive, with its content. */
export interface Member {
  readonly header: Partial<Header> & { readonly name: string };
  readonly body: Buffer;
}

export interface Sent {
  readonly status: number;
  readonly body: Buffer;
  readonly contentBytes: number;
}

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Snapshots that are files only, made for this host without a VM, and what goes in and out as packs. */
export class PackLab {
  private readonly memory = new MemoryImageService();
  /** The whole memory of each snapshot. */
  private readonly images = new Map<string, Buffer>();

  constructor(readonly app: TestApp) {
    // What is asked of the engine is what it is; it starts nothing here.
    const { engine, ...rest } = { ...sampleManifest().engine, engine: 'qemu' as const, reason: 'a test' };
    const probe = (): Promise<EngineProbe> => Promise.resolve({ ...rest, engine, accelerator: 'tcg' });
    Object.assign(app.nest.get(VmmEngine, { strict: false }), { probe });
  }

  get root(): string {
    return this.app.config.snapshotRoot;
  }

  async close(): Promise<void> {
    await this.memory.onModuleDestroy();
  }

  /** Writes a snapshot whose memory has some pages of data; on top of another, only those that differ from it. */
  async snapshot(tag: string, pages: readonly number[], parent?: string): Promise<SnapshotManifest> {
    const dir = join(this.root, tag);
    await mkdir(dir, { recursive: true });
    const image = Buffer.from(this.images.get(parent ?? '') ?? Buffer.alloc(MEMORY_BYTES));
    for (const page of pages) randomBytes(PAGE).copy(image, page * PAGE);
    this.images.set(tag, image);
    const whole = join(dir, parent === undefined ? 'memory.bin' : '.whole');
    await writeSparse(whole, image);
    const digest = await this.memory.digest(whole, join(dir, 'memory.sums'));
    const vmstate = randomBytes(5000);
    await writeFile(join(dir, 'vmstate'), vmstate);
    if (parent === undefined) await writeSparse(join(dir, 'rootfs.ext4'), rootfs());
    else await this.onTop(dir, parent, image, pages);
    const stored = join(dir, parent === undefined ? 'memory.bin' : 'memory.diff');
    const manifest = await this.manifestOf(dir, stored, digest, vmstate, parent);
    await writeFile(join(dir, 'snapshot.json'), JSON.stringify(manifest, null, 2));
    return manifest;
  }

  imageOf(tag: string): Buffer {
    return this.images.get(tag) ?? Buffer.alloc(0);
  }

  async inspect(tag: string): Promise<Artifacts> {
    const inspection = await new SnapshotStore(this.root).inspect(tag);
    if (inspection.problem !== undefined) throw new Error(inspection.problem);
    return inspection.artifacts;
  }

  /** Makes sure that a VM of the tag would have this memory. */
  async requireImage(tag: string, expected: Buffer): Promise<void> {
    await this.app.nest.get(SnapshotOpenerService, { strict: false }).use(tag, async ({ memoryPath }) => {
      assert.ok((await readFile(memoryPath)).equals(expected), `the memory of ${tag} is another`);
    });
  }

  pack(tag: string): Promise<Sent> {
    return this.request('GET', `/v1/snapshots/${tag}/pack`);
  }

  unpack(pack: Buffer | Readable, query = ''): Promise<Sent> {
    return this.request('POST', `/v1/snapshots/unpack${query}`, pack);
  }

  /** All files below the daemon's directory but its log and registry, with their sizes. */
  async everything(): Promise<string[]> {
    const names = await readdir(this.app.directory, { recursive: true });
    const found: string[] = [];
    for (const name of names.sort()) {
      if (/^(log|state\.json)/.test(name)) continue;
      const { size, blocks } = await stat(join(this.app.directory, name));
      found.push(`${name} ${size} ${blocks}`);
    }
    return found;
  }

  request(method: string, path: string, body?: Buffer | Readable): Promise<Sent> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({ host: '127.0.0.1', port: this.app.port, method, path, agent: false });
      request.once('response', (response) => {
        buffer(response).then((data) => {
          const contentBytes = Number(response.headers['x-forkd-content-bytes'] ?? 0);
          resolve({ status: response.statusCode ?? 0, body: data, contentBytes });
        }, reject);
      });
      request.on('error', reject);
      if (body instanceof Readable) body.pipe(request);
      else request.end(body);
    });
  }

  private async onTop(dir: string, parent: string, image: Buffer, pages: readonly number[]): Promise<void> {
    await link(join(this.root, parent, 'rootfs.ext4'), join(dir, 'rootfs.ext4'));
    writeDiff(
      join(dir, 'memory.diff'),
      (target, length, position) => {
        image.copy(target, 0, position, position + length);
      },
      { imageBytes: image.length, pages: Uint32Array.from(pages) },
    );
    await rm(join(dir, '.whole'));
  }

  private async manifestOf(
    dir: string,
    stored: string,
    digest: string,
    vmstate: Buffer,
    parent: string | undefined,
  ): Promise<SnapshotManifest> {
    const parentManifest =
      parent === undefined
        ? undefined
        : (JSON.parse(await readFile(join(this.root, parent, 'snapshot.json'), 'utf8')) as SnapshotManifest);
    return sampleManifest({
      memory_digest: digest,
      memory_seal: await sealOf(stored),
      vmstate_sha256: sha256(vmstate),
      rootfs_bytes: (await stat(join(dir, 'rootfs.ext4'))).size,
      ...(parent === undefined || parentManifest === undefined
        ? {}
        : {
            memory: 'memory.diff',
            parent_tag: parent,
            parent_content_hash: parentManifest.memory_digest,
            diff_sha256: sha256(await readFile(stored)),
          }),
    });
  }
}

/** 1 MiB with data at its beginning and its end. */
function rootfs(): Buffer {
  const content = Buffer.alloc(MIB);
  randomBytes(10_000).copy(content);
  randomBytes(300).copy(content, MIB - 300);
  return content;
}

async function writeSparse(path: string, content: Buffer): Promise<void> {
  const file = await open(path, 'w');
  const zeros = Buffer.alloc(PAGE);
  try {
    for (let at = 0; at < content.length; at += PAGE) {
      const page = content.subarray(at, at + PAGE);
      if (!page.equals(zeros)) await file.write(page, 0, page.length, at);
    }
  } finally {
    await file.close();
  }
  await truncate(path, content.length);
}

async function filtered(tool: string, args: readonly string[], input: Buffer): Promise<Buffer> {
  const child = spawn(tool, [...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return buffer(child.stdout);
}

export function compressed(data: Buffer): Promise<Buffer> {
  return filtered('zstd', ['-q', '-c', '-1'], data);
}

export function decompressed(data: Buffer): Promise<Buffer> {
  return filtered('zstd', ['-q', '-d', '-c'], data);
}

/** The members of a pack, in their order. */
export async function membersOf(pack: Buffer): Promise<Member[]> {
  const archive = extract();
  const found: Member[] = [];
  const read = (async (): Promise<void> => {
    for await (const entry of archive) {
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      found.push({ header: entry.header, body: Buffer.concat(chunks) });
    }
  })();
  archive.end(await decompressed(pack));
  await read;
  return found;
}

/** A tar archive of members that a well-behaved writer can make. */
export async function tarOf(members: readonly Member[]): Promise<Buffer> {
  const archive = tarPack();
  for (const { header, body } of members) archive.entry({ ...header, size: body.length }, body);
  archive.finalize();
  return buffer(archive);
}

/** A header as no well-behaved writer makes it. */
export function rawHeader(
  name: string | Buffer,
  size: number,
  type: string,
  more: { link?: string } = {},
): Buffer {
  const header = Buffer.alloc(512);
  Buffer.from(name).copy(header, 0, 0, 100);
  header.write('0000600\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(more.link ?? '', 157);
  header.write('ustar\0', 257);
  header.write('00', 263);
  return sealed(header);
}

/** Gives a header the checksum that it needs. */
export function sealed(header: Buffer): Buffer {
  header.write('        ', 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
