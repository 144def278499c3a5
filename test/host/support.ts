import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { IMAGE_ROOT, pythonImage } from '../support/real-host';
import type { TestHost } from '../support/test-host/test-host';

const REPOSITORY = resolve(__dirname, '..', '..', '..');
const PACKAGE_TIMEOUT_MS = 5 * 60_000;
/** On a machine that is busy an emulated host is very slow. */
export const SLOW_MS = 5 * 60_000;

/** Makes the Debian package; npm run build must have run. */
export async function makePackage(out: string, version: string): Promise<string> {
  const tool = join(REPOSITORY, 'setup', 'package.mjs');
  const args = [tool, '--out', out, '--version', version];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: PACKAGE_TIMEOUT_MS });
  return stdout.trim();
}

/** Puts the image `python` of this machine where the packaged daemon looks for images. */
export async function copyImageIn(host: TestHost): Promise<void> {
  const { kernelPath, initramfsPath, rootfsPath } = await pythonImage();
  const directory = await mkdtemp(join(tmpdir(), 'forkd-images-'));
  try {
    await mkdir(join(directory, 'names'));
    for (const path of [kernelPath, initramfsPath, rootfsPath]) {
      const component = dirname(path);
      await cp(component, join(directory, 'store', basename(component)), { recursive: true });
    }
    const record: unknown = JSON.parse(await readFile(join(IMAGE_ROOT, 'names', 'python.json'), 'utf8'));
    await writeFile(
      join(directory, 'names', 'python.json'),
      JSON.stringify({ ...(record as Record<string, unknown>), superseded: [] }),
    );
    await host.copyIn(directory, '/var/lib/forkd/images');
  } finally {
    await rm(directory, { recursive: true });
  }
}

/**
 * Tells the daemon that KVM works here. It would find out by itself, but an emulated host on a busy machine needs longer
 * for that than any real one, and the daemon would take its VMs to be without KVM.
 */
export async function vouchForKvm(host: TestHost): Promise<void> {
  await host.run(
    `mkdir -p -m 700 /run/forkd
    version=$(qemu-system-x86_64 --version | sed -n 's/.*emulator version \\([0-9.]*\\).*/\\1/p')
    printf '{"key":"%s %s","works":true,"reason":"the test says so"}' "$(cat /proc/sys/kernel/random/boot_id)" "$version" \\
      > /run/forkd/.kvm-probe.json`,
  );
}
