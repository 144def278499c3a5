import { chmod, mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../../../common/errors/domain-error';
import { ProcessError, runProcess } from '../../../common/os/run-process';
import type { PackageFile } from '../domain/apt-output';
import type { PackagesRecipe } from '../domain/recipes';
import type { Apt } from './apt';
import type { BuildContext } from './build-context';
import { writeExt4 } from './ext4-image';
import { bundleCertificates, writeGuestFiles } from './guest-files';
import { runTool, TOOL_ENV } from './run-tool';
import { addLinks, dropPaths, layoutOf, mergeUsr } from './staging';

export const ROOTFS_FILE = 'rootfs.ext4';
const UNPACK_TIMEOUT_MS = 5 * 60_000;
const PARALLEL_UNPACKS = 2;
/** Applets that would pretend to be something the guest is not. */
const UNWANTED_APPLETS = new Set(['dpkg', 'dpkg-deb', 'init', 'linuxrc', 'rpm', 'busybox']);

export interface RootfsSource {
  readonly recipe: PackagesRecipe;
  readonly packages: readonly PackageFile[];
  /** Files to add: guest path to content. */
  readonly drivers: ReadonlyMap<string, Uint8Array>;
  /** Hex digest of all inputs, from which the file system's UUIDs are taken. */
  readonly identity: string;
}

/** Builds a root file system of distribution packages, without root and without running maintainer scripts. */
export class RootfsBuilder {
  constructor(private readonly apt: Apt) {}

  /** Writes `rootfs.ext4` to `outDir`. */
  async build(source: RootfsSource, outDir: string, context: BuildContext): Promise<void> {
    const { recipe, packages, drivers, identity } = source;
    const archives = await this.apt.download(packages, context);
    const root = join(context.workDir, 'root');
    await mkdir(root);
    await unpack(archives, root, context);
    await mergeUsr(root);
    await bundleCertificates(root);
    await addLinks(root, recipe.links);
    await addApplets(root);
    await dropPaths(root, recipe.drop);
    await writeGuestFiles(root, recipe, drivers);
    // Without the cache the loader still finds the distribution's own directories, only not those of ld.so.conf.d.
    context.onProgress({ step: 'link the libraries' });
    const control = context.signal && { signal: context.signal };
    await runTool('ldconfig', ['-r', root, '-X'], { ...control, timeoutMs: UNPACK_TIMEOUT_MS });
    await rm(join(root, 'var/cache/ldconfig'), { recursive: true, force: true });
    if (recipe.compilePython) await compilePython(root, context);
    context.onProgress({ step: 'write the root file system' });
    await writeExt4(join(outDir, ROOTFS_FILE), await layoutOf(root), identity, context);
    await rm(root, { recursive: true });
  }
}

/** The drivers of a recipe's runtimes, by guest path. */
export async function readDrivers(
  recipe: PackagesRecipe,
  runtimesPath: string,
): Promise<Map<string, Buffer>> {
  const drivers = new Map<string, Buffer>();
  for (const runtime of recipe.runtimes) {
    const path = join(runtimesPath, runtime.driver);
    try {
      drivers.set(runtime.guestPath, await readFile(path));
    } catch (error) {
      throw new DomainError(
        'unavailable',
        `the ${runtime.name} driver is missing (${path}); run \`npm run build:agent\``,
        {
          cause: error,
        },
      );
    }
  }
  return drivers;
}

async function unpack(archives: readonly string[], root: string, context: BuildContext): Promise<void> {
  let done = 0;
  const queue = [...archives];
  const work = async (): Promise<void> => {
    for (let archive = queue.shift(); archive !== undefined; archive = queue.shift()) {
      await runTool('dpkg-deb', ['-x', archive, root], {
        timeoutMs: UNPACK_TIMEOUT_MS,
        ...(context.signal && { signal: context.signal }),
      });
      done += 1;
      context.onProgress({ step: 'unpack packages', done, total: archives.length, unit: 'packages' });
    }
  };
  const stopOthers = (error: unknown): never => {
    queue.length = 0;
    throw error;
  };
  const workers = Array.from({ length: PARALLEL_UNPACKS }, () => work().catch(stopOthers));
  // All must have ended before the tree is removed.
  const results = await Promise.allSettled(workers);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  await chmod(root, 0o755);
}

/** Lets busybox stand in for the usual commands that no package of the image brings. */
async function addApplets(root: string): Promise<void> {
  const busybox = join(root, 'usr/bin/busybox');
  if (!(await readdir(join(root, 'usr/bin'))).includes('busybox')) return;
  const { stdout } = await runProcess(busybox, ['--list'], { timeoutMs: 10_000, env: TOOL_ENV });
  const present = new Set([
    ...(await readdir(join(root, 'usr/bin'))),
    ...(await readdir(join(root, 'usr/sbin'))),
  ]);
  const links: Record<string, string> = {};
  for (const applet of stdout.split('\n')) {
    if (applet === '' || UNWANTED_APPLETS.has(applet) || present.has(applet)) continue;
    links[`/usr/bin/${applet}`] = 'busybox';
  }
  await addLinks(root, links);
}

/** Compiles with the image's own interpreter: byte code fits exactly one Python version, which the host need not have. */
async function compilePython(root: string, context: BuildContext): Promise<void> {
  context.onProgress({ step: 'compile the Python library' });
  const libraries = join(root, 'usr/lib/x86_64-linux-gnu');
  const loader = join(libraries, 'ld-linux-x86-64.so.2');
  const python = (await readdir(join(root, 'usr/bin'))).find((name) => /^python3\.\d+$/.test(name));
  if (python === undefined) throw new DomainError('internal', 'the image has no Python to compile with');
  const sources = [
    join(root, 'usr/lib', python),
    join(root, 'usr/lib/python3/dist-packages'),
    join(root, 'usr/lib/forkd'),
  ];
  const present = await Promise.all(sources.map(async (path) => ((await isDirectory(path)) ? [path] : [])));
  const args = [
    // -B: what the compiler itself imports must not leave byte code of its own.
    ...[
      '--library-path',
      libraries,
      join(root, 'usr/bin', python),
      '-B',
      '-s',
      '-S',
      '-m',
      'compileall',
      '-q',
    ],
    // Neither times nor the staging directory get into the byte code.
    ...['--invalidation-mode', 'unchecked-hash', '-s', root, '-p', '/', ...present.flat()],
  ];
  try {
    await runProcess(loader, args, {
      env: { ...TOOL_ENV, PYTHONHOME: join(root, 'usr'), PYTHONHASHSEED: '0' },
      timeoutMs: UNPACK_TIMEOUT_MS,
      ...(context.signal && { signal: context.signal }),
    });
  } catch (error) {
    // Some packages ship templates that are no valid Python; everything else is compiled all the same.
    if (!(error instanceof ProcessError) || error.exitCode !== 1) throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    await readdir(path);
    return true;
  } catch {
    return false;
  }
}
