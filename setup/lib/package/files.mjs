// @ts-check
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { SetupError } from '../run.mjs';
import { bundlePrograms, UNBUNDLED } from './bundle.mjs';

/** What programs read of a package; types, maps and pages are for developers. */
const READ_AT_RUN_TIME = new Set(['.js', '.cjs', '.mjs', '.json', '.node', '.wasm', '.py']);
/** Without an extension, only licences are needed. */
const LICENCE = /^(licen[cs]e|copying|notice|copyright)/i;
/** Directories of packages that hold no CommonJS, or what was only needed to make them. */
const LEFT_OUT =
  /^(node_modules|tests?|__tests__|benchmarks?|docs?|examples?|integration|scripts|esm|esm5|esm2015|umd|bundles)$/;
const BUILT = ['dist/main.js', 'dist/cli.js', 'dist/guest/forkd-agent'];
/** Compiled sources, which are in the bundles. */
const IN_BUNDLES = ['common', 'modules'];
const DOCUMENTS = ['README.md', 'docs/operations.md', 'docs/compatibility.md', 'docs/openapi.json'];
const UNITS = ['forkd-controller.service', 'forkd-vms.service'];

/** @typedef {{name: string, version: string, epoch: number}} Release */

/**
 * Puts all files of the package where they belong below `tree`.
 *
 * @param {string} root
 * @param {string} tree
 * @param {Release} release
 */
export async function installFiles(root, tree, release) {
  const missing = BUILT.filter((path) => !existsSync(join(root, path)));
  if (missing.length > 0) throw new SetupError(`not built yet: ${missing.join(', ')}; run \`npm run build\``);
  const from = (/** @type {string} */ path) => join(root, path);
  const home = join(tree, 'usr/lib', release.name);
  const doc = join(tree, 'usr/share/doc', release.name);
  copy(from('package.json'), join(home, 'package.json'));
  for (const name of readdirSync(from('dist'))) {
    const isOwn = name.startsWith('cli.') || name.endsWith('.bundle.js') || !name.includes('.');
    if (!isOwn || IN_BUNDLES.includes(name) || name.endsWith('.map')) continue;
    copyTree(from(join('dist', name)), join(home, 'dist', name), () => true);
  }
  const packages = lockedPackages(root);
  for (const path of unbundledPackages(packages)) copyTree(from(path), join(home, path), isLoaded);
  // A bundle is tried where it stands, so what it loads has to be there.
  await bundlePrograms(from('dist').replace(/\/$/, ''), join(home, 'dist'));
  write(join(doc, 'third-party-licences.gz'), gzipSync(licences(root, packages), { level: 9 }));
  for (const name of ['forkd', 'forkd-controller'])
    copy(from(`packaging/bin/${name}`), join(tree, 'usr/bin', name), 0o755);
  for (const name of UNITS) copy(from(`packaging/systemd/${name}`), join(tree, 'lib/systemd/system', name));
  copy(from('packaging/logrotate/forkd-controller'), join(tree, 'etc/logrotate.d/forkd-controller'));
  copy(from('packaging/deb/controller.env'), join(tree, 'etc/forkd/controller.env'));
  for (const path of DOCUMENTS) copy(from(path), join(doc, path.replace('docs/', '')));
  copy(from('packaging/systemd/no-network.conf'), join(doc, 'examples/no-network.conf'));
  for (const name of ['grafana', 'prometheus'])
    copyTree(from(join('packaging', name)), join(doc, 'examples', name), () => true);
  copy(from('packaging/deb/copyright'), join(doc, 'copyright'));
  copy(from('packaging/deb/lintian-overrides'), join(tree, 'usr/share/lintian/overrides', release.name));
  write(join(doc, 'changelog.gz'), gzipSync(changelog(release), { level: 9 }));
  installManualPages(from('packaging/man'), tree);
  setModes(tree);
}

/** @typedef {Record<string, {dev?: boolean, devOptional?: boolean, dependencies?: Record<string, string>}>} Lock */

/** @param {string} root @returns {Lock} */
function lockedPackages(root) {
  return JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
}

/**
 * Folders of the packages that stay packages, and of those they need, by what npm has written down about each.
 *
 * @param {Lock} packages
 */
function unbundledPackages(packages) {
  /** @type {Set<string>} */
  const found = new Set();
  /** @param {string} name @param {string} from */
  const add = (name, from) => {
    // Where Node looks: in the package's own folder first, then in those it lies in.
    const parts = from === '' ? [''] : [from, ...from.split(/(?=\/node_modules\/)/).slice(0, -1), ''];
    const path = parts
      .map((part) => join(part, 'node_modules', name))
      .find((candidate) => candidate in packages);
    if (path === undefined || found.has(path)) return;
    found.add(path);
    for (const needed of Object.keys(packages[path]?.dependencies ?? {})) add(needed, path);
  };
  for (const name of UNBUNDLED) add(name, '');
  return [...found];
}

/**
 * The licences of all packages whose code is in the programs.
 *
 * @param {string} root
 * @param {Lock} packages
 */
function licences(root, packages) {
  const texts = [];
  for (const [path, { dev, devOptional }] of Object.entries(packages)) {
    // Packages for other platforms are not there.
    if (path === '' || dev === true || devOptional === true || !existsSync(join(root, path))) continue;
    for (const name of readdirSync(join(root, path)).filter((entry) => LICENCE.test(entry))) {
      if (!statSync(join(root, path, name)).isFile()) continue;
      texts.push(
        `--- ${path.replace(/^.*node_modules\//, '')}: ${name}\n\n`,
        readFileSync(join(root, path, name), 'utf8'),
        '\n',
      );
    }
  }
  return texts.join('');
}

/**
 * @param {string} from
 * @param {string} to
 * @param {number} [mode]
 */
function copy(from, to, mode) {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to);
  if (mode !== undefined) chmodSync(to, mode);
}

/**
 * @param {string} from
 * @param {string} to
 * @param {(name: string, isDirectory: boolean) => boolean} wanted
 */
function copyTree(from, to, wanted) {
  cpSync(from, to, {
    recursive: true,
    dereference: true,
    filter: (path) => path === from || wanted(basename(path), statSync(path).isDirectory()),
  });
}

/**
 * @param {string} name
 * @param {boolean} isDirectory
 */
function isLoaded(name, isDirectory) {
  if (name.startsWith('.')) return false;
  return isDirectory ? !LEFT_OUT.test(name) : READ_AT_RUN_TIME.has(extname(name)) || LICENCE.test(name);
}

/**
 * @param {string} from
 * @param {string} tree
 */
function installManualPages(from, tree) {
  if (!existsSync(from)) return;
  for (const name of readdirSync(from)) {
    const target = join(tree, 'usr/share/man', `man${extname(name).slice(1)}`, `${name}.gz`);
    write(target, gzipSync(readFileSync(join(from, name)), { level: 9 }));
  }
}

/**
 * @param {string} path
 * @param {Uint8Array} data
 */
function write(path, data) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, data);
}

/** @param {Release} release */
function changelog({ name, version, epoch }) {
  const date = new Date(epoch * 1000).toUTCString().replace('GMT', '+0000');
  return `${name} (${version}) unstable; urgency=medium

  * Release ${version}.

 -- forkd maintainers <maintainers@forkd.invalid>  ${date}
`;
}

/** Programs may be run by everyone, all else be read; whatever the build's umask was. */
function setModes(/** @type {string} */ tree) {
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) chmodSync(path, 0o755);
    else if (entry.isFile()) {
      const text = readFileSync(path).subarray(0, 4).toString('latin1');
      chmodSync(path, text.startsWith('#!') || text === '\x7fELF' ? 0o755 : 0o644);
    }
  }
  // Only root has a say in these.
  chmodSync(join(tree, 'etc/forkd/controller.env'), 0o640);
}
