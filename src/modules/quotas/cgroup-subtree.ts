import { join, relative, sep } from 'node:path';
import { DomainError, errnoOf, errorMessage } from '../../common/errors/domain-error';
import { type Controller, CONTROLLERS } from './domain/cgroup-settings';
import type { CgroupFs } from './ports/cgroup-fs';

/** Where the groups of all daemons are when nobody says where. */
const DEFAULT_ROOT = 'forkd';
/** Group for the daemon itself where it was started in the very group that it is to divide. */
const DAEMON_GROUP = 'daemon';

export interface SubtreeOptions {
  /** Absolute path; {@link DEFAULT_ROOT} below the mount point when absent. */
  readonly root: string | undefined;
  /** Name of this daemon's own group below the root, so that several may share it. */
  readonly realm: string;
  readonly pid: number;
}

/** A group of this daemon's own, in which it may make further ones. */
export interface CgroupSubtree {
  readonly dir: string;
  /** Those that its child groups have. */
  readonly controllers: ReadonlySet<Controller>;
  /** Why the others are missing. */
  readonly missing: ReadonlyMap<Controller, string>;
}

/**
 * Makes this daemon's group and hands it the controllers, from the mount point down.
 *
 * @returns why not, where cgroup v2 is missing or may not be used.
 * @throws DomainError invalid for a root that is no cgroup.
 */
export async function openSubtree(fs: CgroupFs, options: SubtreeOptions): Promise<CgroupSubtree | string> {
  const mount = await fs.mountPoint();
  if (mount === undefined) return 'cgroup v2 is not mounted on this host';
  const root = options.root ?? join(mount, DEFAULT_ROOT);
  const inside = relative(mount, root);
  if (inside === '' || inside.startsWith('..')) {
    throw new DomainError(
      'invalid',
      `--cgroup-root is '${root}', but must be a directory below ${mount}, where cgroup v2 is mounted`,
    );
  }
  const groups = [mount];
  for (const name of [...inside.split(sep), options.realm]) groups.push(join(groups.at(-1) ?? mount, name));
  const dir = groups.at(-1) ?? root;
  const missing = new Map<Controller, string>();
  try {
    for (const [index, group] of groups.entries()) {
      if (index > 0) await fs.create(group);
      await handDown(fs, group, options.pid, missing);
    }
    const enabled = words(await fs.read(join(dir, 'cgroup.subtree_control')));
    const controllers = CONTROLLERS.filter((name) => enabled.has(name));
    for (const name of controllers) missing.delete(name);
    return { dir, controllers: new Set(controllers), missing };
  } catch (error) {
    const why = errorMessage(error);
    const denied = ['EACCES', 'EPERM', 'EROFS'].includes(errnoOf(error) ?? '');
    const hint = denied
      ? ': this daemon may not make groups there; name one that is delegated to it with --cgroup-root'
      : '';
    return `${dir} cannot be used (${why})${hint}`;
  }
}

/** Enables the controllers for a group's children, as far as it has them itself and they may be. */
async function handDown(
  fs: CgroupFs,
  group: string,
  pid: number,
  missing: Map<Controller, string>,
): Promise<void> {
  const file = join(group, 'cgroup.subtree_control');
  const own = words(await fs.read(join(group, 'cgroup.controllers')));
  const enabled = words(await fs.read(file));
  for (const name of CONTROLLERS) {
    if (enabled.has(name) || missing.has(name)) continue;
    if (!own.has(name)) {
      missing.set(name, `cgroup v2 at ${group} has no ${name} controller`);
      continue;
    }
    try {
      await enable(fs, group, name, pid);
    } catch (error) {
      missing.set(name, `the ${name} controller cannot be enabled in ${file} (${errorMessage(error)})`);
    }
  }
}

async function enable(fs: CgroupFs, group: string, name: Controller, pid: number): Promise<void> {
  const file = join(group, 'cgroup.subtree_control');
  try {
    await fs.write(file, `+${name}`);
  } catch (error) {
    // A group that has processes cannot have children with controllers. Others' processes are not ours to move.
    if (errnoOf(error) !== 'EBUSY' || !(await holdsOnly(fs, group, pid))) throw error;
    const refuge = join(group, DAEMON_GROUP);
    await fs.create(refuge);
    await fs.write(join(refuge, 'cgroup.procs'), String(pid));
    await fs.write(file, `+${name}`);
  }
}

async function holdsOnly(fs: CgroupFs, group: string, pid: number): Promise<boolean> {
  const pids = words(await fs.read(join(group, 'cgroup.procs')));
  return pids.size === 1 && pids.has(String(pid));
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.split(/\s+/).filter((word) => word !== ''));
}
