import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PackagesRecipe } from '../domain/recipes';

/** Files every guest needs and no package brings without its maintainer scripts. */
const FILES: Readonly<Record<string, string>> = {
  '/etc/passwd': [
    'root:x:0:0:root:/root:/bin/bash',
    'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin',
    'www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin',
    'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
    'user:x:1000:1000:user:/home/user:/bin/bash',
    '',
  ].join('\n'),
  '/etc/group': [
    'root:x:0:',
    'daemon:x:1:',
    'tty:x:5:',
    'disk:x:6:',
    'www-data:x:33:',
    'nogroup:x:65534:',
    'user:x:1000:',
    '',
  ].join('\n'),
  '/etc/hosts': '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n',
  '/etc/hostname': 'forkd\n',
  '/etc/resolv.conf': 'nameserver 1.1.1.1\nnameserver 8.8.8.8\n',
  '/etc/nsswitch.conf': [
    'passwd: files',
    'group: files',
    'hosts: files dns',
    'services: files',
    'protocols: files',
    '',
  ].join('\n'),
  '/etc/fstab': '',
  '/etc/machine-id': '',
};

const DIRECTORIES = [
  '/dev',
  '/etc',
  '/home/user',
  '/mnt',
  '/opt',
  '/proc',
  '/root',
  '/run',
  '/srv',
  '/sys',
  '/tmp',
  '/usr/local/bin',
  '/usr/local/lib',
  '/var/cache',
  '/var/lib',
  '/var/log',
  '/var/tmp',
];

/** Directories that are not `root:root 0755`. */
export const SPECIAL_DIRECTORIES: ReadonlyMap<string, { readonly mode: number; readonly owner: number }> =
  new Map([
    ['/root', { mode: 0o700, owner: 0 }],
    ['/tmp', { mode: 0o1777, owner: 0 }],
    ['/var/tmp', { mode: 0o1777, owner: 0 }],
    ['/home/user', { mode: 0o755, owner: 1000 }],
  ]);

/** The agent's description of the image, read at boot from `/etc/forkd/image.json`. */
export function imageDescription(recipe: PackagesRecipe): string {
  const runtimes = Object.fromEntries(recipe.runtimes.map(({ name, argv }) => [name, { argv }]));
  return `${JSON.stringify({ name: recipe.name, runtimes, env: recipe.env }, null, 2)}\n`;
}

/** Adds the files that make a tree of unpacked packages a system. Files that packages bring win. */
export async function writeGuestFiles(
  root: string,
  recipe: PackagesRecipe,
  drivers: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  for (const directory of DIRECTORIES) await mkdir(join(root, directory), { recursive: true });
  const files: [string, string | Uint8Array][] = [
    ...Object.entries(FILES),
    ['/etc/forkd/image.json', imageDescription(recipe)],
    ...drivers,
  ];
  for (const [path, content] of files) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
}

/** Makes one file of the certificate authorities, as the maintainer script of ca-certificates would. */
export async function bundleCertificates(root: string): Promise<void> {
  const source = join(root, 'usr/share/ca-certificates');
  const names = await readdir(source, { recursive: true }).catch(() => []);
  const certificates: string[] = [];
  for (const name of names.filter((path) => path.endsWith('.crt')).sort()) {
    certificates.push((await readFile(join(source, name), 'utf8')).trimEnd());
  }
  if (certificates.length === 0) return;
  await mkdir(join(root, 'etc/ssl/certs'), { recursive: true });
  await writeFile(join(root, 'etc/ssl/certs/ca-certificates.crt'), `${certificates.join('\n')}\n`);
  await rm(source, { recursive: true });
}
