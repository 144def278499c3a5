import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../../../common/errors/domain-error';
import { BLOCK_SIZE, fileSystemSize, populateScript, type LayoutEntry } from '../domain/ext4-layout';
import type { BuildContext } from './build-context';
import { diskFull, runTool, TOOL_ENV } from './run-tool';

const SUPERBLOCK = 1024;
const KBYTES_WRITTEN = 0x178;
const TIMEOUT_MS = 15 * 60_000;
/** Listed in full, so that neither the host's mke2fs.conf nor the defaults of a release change the image. */
const FEATURES = 'none,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,large_file,sparse_super';
/** 2024-01-01, the time of everything in an image. */
const IMAGE_TIME = '1704067200';

/**
 * Makes a file system without root, mounts, or the host's owners: an empty one by mke2fs, filled by debugfs. The same
 * entries and identity give the same bytes with the same release of e2fsprogs.
 *
 * @param identity at least 64 hex digits, from which the UUIDs are taken.
 */
export async function writeExt4(
  path: string,
  entries: readonly LayoutEntry[],
  identity: string,
  context: BuildContext,
): Promise<void> {
  const { blocks, inodes } = fileSystemSize(entries);
  const options = {
    env: {
      ...TOOL_ENV,
      MKE2FS_CONFIG: '/dev/null',
      E2FSPROGS_FAKE_TIME: IMAGE_TIME,
      SOURCE_DATE_EPOCH: IMAGE_TIME,
    },
    timeoutMs: TIMEOUT_MS,
    ...(context.signal && { signal: context.signal }),
  };
  const extended = `hash_seed=${uuid(identity.slice(32))},lazy_itable_init=0,nodiscard,root_owner=0:0`;
  await runTool(
    'mke2fs',
    [
      ...['-q', '-F', '-O', FEATURES, '-b', String(BLOCK_SIZE), '-I', '256', '-m', '0', '-N', String(inodes)],
      ...['-U', uuid(identity), '-L', 'forkd-root', '-E', extended, path, String(blocks)],
    ],
    options,
  );
  const script = join(context.workDir, 'populate');
  await writeFile(
    script,
    populateScript([{ type: 'directory', path: '/', mode: 0o755, owner: 0 }, ...entries]),
  );
  const { stderr } = await runTool('debugfs', ['-w', '-f', script, path], options);
  await rm(script);
  // debugfs goes on after a failed command and does not always tell by its exit code.
  const complaint = stderr.split('\n').find((line) => line !== '' && !line.startsWith('debugfs 1.'));
  if (complaint === undefined) {
    await clearWriteCounter(path);
    return;
  }
  if (/no space left on device/i.test(complaint)) throw diskFull(complaint);
  throw new DomainError('internal', `the root file system cannot be filled: ${complaint}`);
}

/** The superblock counts the kilobytes ever written, which says how the image was made and not what it is. */
async function clearWriteCounter(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(Buffer.alloc(8), 0, 8, SUPERBLOCK + KBYTES_WRITTEN);
  } finally {
    await file.close();
  }
}

/** The release of e2fsprogs, which decides where things lie in an image. */
export async function ext4ToolVersion(): Promise<string> {
  const { stderr } = await runTool('mke2fs', ['-V'], { timeoutMs: 10_000 });
  return stderr.split('\n')[0] ?? '';
}

function uuid(hex: string): string {
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 3) | 8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    variant + hex.slice(17, 20),
    hex.slice(20, 32),
  ].join('-');
}
