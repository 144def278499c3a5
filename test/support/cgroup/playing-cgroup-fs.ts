import { access, appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KernelCgroupFs } from '../../../src/modules/quotas/adapters/kernel-cgroup-fs';

const FILES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  memory: {
    'memory.max': 'max\n',
    'memory.high': 'max\n',
    'memory.swap.max': 'max\n',
    'memory.oom.group': '0\n',
    'memory.current': '0\n',
    'memory.stat': 'anon 0\nfile 0\n',
    'memory.events': 'low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n',
  },
  cpu: { 'cpu.max': 'max 100000\n' },
  io: { 'io.max': '', 'io.stat': '' },
  pids: { 'pids.max': 'max\n', 'pids.current': '0\n' },
};

/**
 * A directory that plays cgroup v2: a new group has the files of the controllers that its parent hands down, a group with
 * processes cannot hand any down, and one with processes or children cannot be removed.
 */
export class PlayingCgroupFs extends KernelCgroupFs {
  /** What was written, in order: "file=text". */
  readonly written: string[] = [];
  /** Files that cannot be written, by the end of their path, and the errno. */
  readonly refuses = new Map<string, string>();
  /** Groups that stay busy although their processes were killed. */
  readonly stuck = new Set<string>();

  private constructor(readonly root: string) {
    super();
  }

  /** @param controllers what the kernel offers. */
  static async make(root: string, controllers: readonly string[]): Promise<PlayingCgroupFs> {
    const fs = new PlayingCgroupFs(root);
    await fs.fill(root, controllers);
    return fs;
  }

  override mountPoint(): Promise<string | undefined> {
    return Promise.resolve(this.root);
  }

  override async create(dir: string): Promise<void> {
    if (await exists(dir)) return;
    const error = this.refusal(dir);
    if (error !== undefined) throw error;
    await mkdir(dir);
    const parent = await readFile(join(dirname(dir), 'cgroup.subtree_control'), 'utf8');
    await this.fill(
      dir,
      parent.split(/\s+/).filter((name) => name !== ''),
    );
  }

  override async remove(dir: string): Promise<void> {
    if (!(await exists(dir))) return;
    const procs = await readFile(join(dir, 'cgroup.procs'), 'utf8');
    if (procs !== '' || (await this.children(dir)).length > 0 || this.stuck.has(dir))
      throw errno('EBUSY', dir);
    await rm(dir, { recursive: true });
  }

  override async write(file: string, text: string): Promise<void> {
    const error = this.refusal(file);
    if (error !== undefined) throw error;
    if (!(await exists(file))) throw errno('ENOENT', file);
    this.written.push(`${file.slice(this.root.length + 1)}=${text}`);
    const dir = dirname(file);
    if (file.endsWith('/cgroup.kill')) await writeFile(join(dir, 'cgroup.procs'), '');
    else if (file.endsWith('/cgroup.procs')) await this.move(dir, text);
    else if (file.endsWith('/cgroup.subtree_control')) await this.handDown(dir, text.slice(1));
    else await writeFile(file, `${text}\n`);
  }

  /** Puts a process into a group, out of the one that it is said to be in. */
  async place(dir: string, pid: number): Promise<void> {
    await writeFile(join(dir, 'cgroup.procs'), `${pid}\n`);
  }

  private async move(dir: string, pid: string): Promise<void> {
    const parent = join(dirname(dir), 'cgroup.procs');
    const left = (await readFile(parent, 'utf8')).split('\n').filter((line) => line !== '' && line !== pid);
    await writeFile(parent, left.map((line) => `${line}\n`).join(''));
    await writeFile(join(dir, 'cgroup.procs'), `${pid}\n`);
  }

  private async handDown(dir: string, name: string): Promise<void> {
    const procs = await readFile(join(dir, 'cgroup.procs'), 'utf8');
    if (procs !== '' && dir !== this.root) throw errno('EBUSY', dir);
    const file = join(dir, 'cgroup.subtree_control');
    await writeFile(file, `${(await readFile(file, 'utf8')).trim()} ${name}\n`.trimStart());
    for (const child of await this.children(dir)) {
      await appendFile(join(dir, child, 'cgroup.controllers'), ` ${name}`);
      for (const [added, text] of Object.entries(FILES[name] ?? {})) {
        await writeFile(join(dir, child, added), text);
      }
    }
  }

  private async fill(dir: string, controllers: readonly string[]): Promise<void> {
    await mkdir(dir, { recursive: true });
    const files: Record<string, string> = {
      'cgroup.controllers': `${controllers.join(' ')}\n`,
      'cgroup.subtree_control': '',
      'cgroup.procs': '',
      'cgroup.kill': '',
      'cpu.stat': 'usage_usec 0\nuser_usec 0\nsystem_usec 0\nnr_throttled 0\nthrottled_usec 0\n',
    };
    for (const name of controllers) Object.assign(files, FILES[name]);
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  }

  private refusal(path: string): Error | undefined {
    for (const [end, code] of this.refuses) if (path.endsWith(end)) return errno(code, path);
    return undefined;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function errno(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
