// @ts-check
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, SetupError } from '../run.mjs';
import { buildInitramfs } from './initramfs.mjs';
import { unpackKernel } from './kernel.mjs';
import { buildRootImage } from './root-image.mjs';

const SELF = fileURLToPath(new URL('../../test-host.mjs', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));
/** Set for the process that holds the lock. */
const LOCKED = 'FORKD_TEST_HOST_LOCKED';

/**
 * The host's kernel (`vmlinux`), `initramfs` and `root.img`, made once and kept in the user's cache. What is kept belongs to
 * this set-up code and this Node, and is made anew when either changes.
 *
 * @param {(line: string) => void} print
 * @returns {Promise<string>} the directory
 * @throws {SetupError} when it cannot be made; the text says what to do
 */
export async function prepareTestHost(print) {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'forkd', 'test-host');
  const directory = join(cache, recipeHash());
  if (existsSync(directory)) return directory;
  if (process.getuid?.() !== 0) {
    throw new SetupError(
      'the test host is a Debian system with its owners and devices: only root can make it',
    );
  }
  mkdirSync(cache, { recursive: true });
  if (process.env[LOCKED] === undefined) {
    // Of several that start at once, one makes it and the others wait.
    const env = { ...process.env, [LOCKED]: '1' };
    const { code, output } = await run('flock', [join(cache, 'lock'), process.execPath, SELF], { env });
    if (code !== 0 || !existsSync(directory)) throw new SetupError(output.trimEnd());
    return directory;
  }
  // Whatever another version left, finished or not: only the holder of the lock writes here.
  for (const name of readdirSync(cache)) {
    if (name !== 'lock') rmSync(join(cache, name), { recursive: true, force: true });
  }
  const work = join(cache, 'building');
  mkdirSync(join(work, 'result'), { recursive: true });
  try {
    await build(work, print);
    renameSync(join(work, 'result'), directory);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return directory;
}

/**
 * @param {string} work
 * @param {(line: string) => void} print
 */
async function build(work, print) {
  const started = Date.now();
  /** @param {string} what */
  const done = (what) => print(`test host: ${what} (${((Date.now() - started) / 1000).toFixed(0)} s)`);
  const result = join(work, 'result');
  const kernel = await unpackKernel(work, join(result, 'vmlinux'));
  done('kernel unpacked');
  await buildRootImage(work, kernel, join(result, 'root.img'));
  done('root image made');
  await buildInitramfs(join(work, 'root'), kernel.version, join(result, 'initramfs'));
  writeFileSync(join(result, 'kernel-version'), `${kernel.version}\n`);
  done('complete');
}

function recipeHash() {
  const hash = createHash('sha256').update(process.version);
  for (const name of readdirSync(HERE).sort()) hash.update(name).update(readFileSync(join(HERE, name)));
  return hash.digest('hex').slice(0, 16);
}
