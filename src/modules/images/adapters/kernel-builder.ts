import { createWriteStream } from 'node:fs';
import { mkdir, open, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { DomainError } from '../../../common/errors/domain-error';
import type { PackageFile } from '../domain/apt-output';
import { findKernelPayload, type KernelPayload } from '../domain/bzimage';
import { ELF_HEAD_BYTES, hasPvhEntry, noteSegments } from '../domain/elf';
import { GUEST_MODULES, loadOrder, moduleDependencies, moduleName, parseBuiltins } from '../domain/modules';
import type { ToolName } from '../domain/tools';
import type { Apt } from './apt';
import type { BuildContext } from './build-context';
import { runTool } from './run-tool';

export const KERNEL_FILE = 'vmlinux';
const DECOMPRESS_TIMEOUT_MS = 5 * 60_000;

export interface BuiltKernel {
  readonly kernelVersion: string;
  /** Names in load order; the files are `modules/<name>.ko`. */
  readonly modules: readonly string[];
}

/** Takes a distribution's kernel package apart: an ELF kernel and the modules a guest needs. */
export class KernelBuilder {
  constructor(private readonly apt: Apt) {}

  /** Writes `vmlinux` and `modules/` to `outDir`. */
  async build(source: PackageFile, outDir: string, context: BuildContext): Promise<BuiltKernel> {
    const [archive = ''] = await this.apt.download([source], context);
    context.onProgress({ step: 'unpack the kernel package' });
    const tree = join(context.workDir, 'kernel');
    const control = context.signal && { signal: context.signal };
    await runTool('dpkg-deb', ['-x', archive, tree], { ...control, timeoutMs: DECOMPRESS_TIMEOUT_MS });
    const boot = await readdir(join(tree, 'boot'));
    const image = boot.find((name) => name.startsWith('vmlinuz-'));
    if (image === undefined) throw new DomainError('internal', `${source.fileName} holds no kernel`);
    const kernelVersion = image.slice('vmlinuz-'.length);

    context.onProgress({ step: 'extract the kernel' });
    await extractKernel(join(tree, 'boot', image), join(outDir, KERNEL_FILE), context.signal);
    const modules = await collectModules(join(tree, 'lib/modules', kernelVersion), outDir, context.signal);
    await rm(tree, { recursive: true });
    return { kernelVersion, modules };
  }
}

async function extractKernel(from: string, to: string, signal: AbortSignal | undefined): Promise<void> {
  const image = await readFile(from);
  const payload = findKernelPayload(image);
  await decompress(image.subarray(payload.offset, payload.offset + payload.length), payload, to, signal);
  const { size } = await stat(to);
  if (size !== payload.uncompressedLength) {
    throw new DomainError(
      'internal',
      `the kernel unpacks to ${size} bytes instead of ${payload.uncompressedLength}`,
    );
  }
  if (!(await isPvhKernel(to))) {
    throw new DomainError('internal', 'the kernel has no PVH entry point, so a microVM cannot start it');
  }
}

async function decompress(
  data: Buffer,
  payload: KernelPayload,
  to: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  switch (payload.compression) {
    case 'none':
      await writeFile(to, data);
      return;
    case 'gzip':
      await writeFile(to, await promisify(gunzip)(data));
      return;
    case 'lz4':
    case 'xz':
    case 'zstd':
      await decompressWithTool(payload.compression, data, to, signal);
  }
}

async function decompressWithTool(
  tool: ToolName,
  input: Buffer,
  to: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await runTool(tool, ['-d', '-c'], {
    input,
    output: createWriteStream(to),
    timeoutMs: DECOMPRESS_TIMEOUT_MS,
    ...(signal && { signal }),
  });
}

async function isPvhKernel(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const head = Buffer.alloc(ELF_HEAD_BYTES);
    await file.read(head, 0, head.length, 0);
    for (const range of noteSegments(head)) {
      const notes = Buffer.alloc(range.length);
      await file.read(notes, 0, range.length, range.offset);
      if (hasPvhEntry(notes)) return true;
    }
    return false;
  } finally {
    await file.close();
  }
}

async function collectModules(
  tree: string,
  outDir: string,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const paths = new Map<string, string>();
  for (const path of await readdir(join(tree, 'kernel'), { recursive: true })) {
    if (/\.ko(\.(gz|xz|zst))?$/.test(path)) paths.set(moduleName(path), join(tree, 'kernel', path));
  }
  const builtins = parseBuiltins(await readFile(join(tree, 'modules.builtin'), 'utf8'));
  const target = join(outDir, 'modules');
  await mkdir(target);
  // Dependencies are only known once a module is unpacked, so the closure is read first and ordered after.
  const dependencies = new Map<string, readonly string[]>();
  const pending: string[] = [...GUEST_MODULES];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const path = paths.get(name);
    if (path === undefined || dependencies.has(name) || builtins.has(name)) continue;
    const file = join(target, `${name}.ko`);
    await unpackModule(path, file, signal);
    const needs = moduleDependencies(await readFile(file));
    dependencies.set(name, needs);
    pending.push(...needs);
  }
  return loadOrder(GUEST_MODULES, builtins, (name) => dependencies.get(name));
}

async function unpackModule(from: string, to: string, signal: AbortSignal | undefined): Promise<void> {
  const data = await readFile(from);
  if (from.endsWith('.gz')) await writeFile(to, await promisify(gunzip)(data));
  else if (from.endsWith('.xz')) await decompressWithTool('xz', data, to, signal);
  else if (from.endsWith('.zst')) await decompressWithTool('zstd', data, to, signal);
  else await writeFile(to, data);
}
