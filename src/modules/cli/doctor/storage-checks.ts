import { constants } from 'node:fs';
import { copyFile, mkdtemp, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf } from '../../../common/errors/domain-error';
import { bytes } from '../output/format';
import { type Check, fail, type Finding, pass, warn } from './check';

const GIB = 1024 ** 3;
/** Below this a snapshot of an ordinary guest does not fit. */
const TOO_LITTLE = GIB;
const LITTLE = 5 * GIB;
const PROBE_BYTES = 64 * 1024;

export interface StorageFacts {
  readonly snapshotRoot: string;
  readonly imageRoot: string;
  /** Names of the images that are built. */
  readonly images: () => Promise<readonly string[]>;
}

export function storageChecks({ snapshotRoot, imageRoot, images }: StorageFacts): Check[] {
  return [
    { name: 'images', run: async () => builtImages(imageRoot, await images()) },
    {
      name: 'snapshot-disk',
      run: () => space(snapshotRoot, 'forkd snapshot ls   # then: forkd snapshot rm TAG'),
    },
    { name: 'image-disk', run: () => space(imageRoot, 'forkd image ls   # then: forkd image rm NAME') },
    { name: 'reflink', run: () => reflink(snapshotRoot) },
  ];
}

function builtImages(root: string, names: readonly string[]): Finding {
  return names.length > 0
    ? pass(`${names.join(', ')} in ${root}`)
    : warn(`no image in ${root}`, `forkd image build python --image-root ${root}`);
}

async function space(directory: string, fix: string): Promise<Finding> {
  const found = await statfs(await existing(directory));
  const free = found.bavail * found.bsize;
  const detail = `${bytes(free)} free at ${directory}`;
  if (free < TOO_LITTLE) return fail(detail, fix);
  return free < LITTLE ? warn(detail, fix) : pass(detail);
}

/** Asks the file system itself, with a small file that is gone afterwards. */
async function reflink(root: string): Promise<Finding> {
  const directory = await mkdtemp(join(await existing(root), '.doctor-'));
  try {
    const source = join(directory, 'a');
    await writeFile(source, Buffer.alloc(PROBE_BYTES, 1));
    await copyFile(source, join(directory, 'b'), constants.COPYFILE_FICLONE_FORCE);
    return pass(`files at ${root} can share blocks`);
  } catch (error) {
    const code = errnoOf(error);
    if (
      code !== 'ENOTSUP' &&
      code !== 'EOPNOTSUPP' &&
      code !== 'ENOSYS' &&
      code !== 'EINVAL' &&
      code !== 'ENOTTY'
    )
      throw error;
    return warn(
      `files at ${root} cannot share blocks: a branch copies the snapshot's memory`,
      'mkfs.xfs -m reflink=1 DEVICE   # or btrfs; mount it and start the daemon with --snapshot-root there',
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The directory, or the nearest one above it that is there. */
async function existing(directory: string): Promise<string> {
  try {
    await stat(directory);
    return directory;
  } catch (error) {
    const above = dirname(directory);
    if (errnoOf(error) !== 'ENOENT' || above === directory) throw error;
    return existing(above);
  }
}
