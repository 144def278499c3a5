import { DomainError } from '../../../common/errors/domain-error';
import { elfSection } from './elf';

/** What the guest needs before its root is mounted: devices over MMIO, disk, network, vsock and the overlay. */
export const GUEST_MODULES = [
  'virtio',
  'virtio_ring',
  'virtio_mmio',
  'virtio_console',
  'virtio_blk',
  'virtio_net',
  'overlay',
  'vmw_vsock_virtio_transport',
] as const;

/** The name under which the kernel knows a module file: no directory, no suffix, underscores for dashes. */
export function moduleName(path: string): string {
  const file = path.slice(path.lastIndexOf('/') + 1);
  return file.replace(/\.ko(\.(gz|xz|zst))?$/, '').replaceAll('-', '_');
}

/** Module names of a `modules.builtin` file. */
export function parseBuiltins(text: string): Set<string> {
  return new Set(
    text
      .split('\n')
      .filter((line) => line !== '')
      .map(moduleName),
  );
}

/** The modules that a module file says it depends on. */
export function moduleDependencies(file: Buffer): string[] {
  const info = elfSection(file, '.modinfo');
  if (info === undefined) throw new DomainError('internal', 'a kernel module has no .modinfo section');
  const line = info
    .toString('latin1')
    .split('\0')
    .find((entry) => entry.startsWith('depends='));
  return (line ?? 'depends=')
    .slice('depends='.length)
    .split(',')
    .filter((name) => name !== '')
    .map(moduleName);
}

/**
 * The order in which modules load: each one after those it depends on, built-in ones left out.
 *
 * @param dependenciesOf undefined when the kernel has no such module.
 * @throws DomainError internal for a module that is neither there nor built in, and for a circle.
 */
export function loadOrder(
  wanted: readonly string[],
  builtins: ReadonlySet<string>,
  dependenciesOf: (name: string) => readonly string[] | undefined,
): string[] {
  const order: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    if (builtins.has(name) || order.includes(name)) return;
    if (path.includes(name)) {
      throw new DomainError(
        'internal',
        `kernel modules depend on each other: ${[...path, name].join(' -> ')}`,
      );
    }
    const dependencies = dependenciesOf(name);
    if (dependencies === undefined) {
      const by = path.length === 0 ? '' : ` (needed by ${path.join(' -> ')})`;
      throw new DomainError('internal', `the kernel has no module ${name}${by}`);
    }
    for (const dependency of dependencies) visit(dependency, [...path, name]);
    order.push(name);
  };
  for (const name of wanted) visit(name, []);
  return order;
}
