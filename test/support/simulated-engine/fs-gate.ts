import fsPromises, { type FileHandle } from 'node:fs/promises';
import { DaemonLife } from './faults';

type AsyncFunction = (...args: unknown[]) => Promise<unknown>;

/** Functions of fs/promises that a daemon uses, with the number of paths they begin with. */
const PATHS: Readonly<Record<string, 1 | 2>> = {
  access: 1,
  chmod: 1,
  copyFile: 2,
  cp: 2,
  link: 2,
  mkdir: 1,
  open: 1,
  readFile: 1,
  readdir: 1,
  rename: 2,
  rm: 1,
  stat: 1,
  statfs: 1,
  symlink: 2,
  truncate: 1,
  unlink: 1,
  utimes: 1,
  writeFile: 1,
};

const functions = fsPromises as unknown as Record<string, AsyncFunction>;
let users = 0;
let originals: [string, AsyncFunction][] = [];

/**
 * Lets a daemon's file operations pass through its life, as `fs.<function>`, and writes and syncs of files it opens as
 * `fs.write` and `fs.sync`. Code outside any life is not touched. Returns the way back.
 */
export function gateFileSystem(): () => void {
  users += 1;
  if (users === 1) {
    originals = Object.keys(PATHS).flatMap((name): [string, AsyncFunction][] => {
      const original = functions[name];
      return original === undefined ? [] : [[name, original]];
    });
    for (const [name, original] of originals) functions[name] = gated(name, original);
  }
  return () => {
    users -= 1;
    if (users === 0) for (const [name, original] of originals) functions[name] = original;
  };
}

function gated(name: string, original: AsyncFunction): AsyncFunction {
  return async (...args) => {
    const life = DaemonLife.current();
    const paths = args.slice(0, PATHS[name]).filter((path) => typeof path === 'string');
    // Not the host's own: /proc, /sys, and files of the program.
    if (life === undefined || !paths.some((path) => /^\/(tmp|dev\/shm)\//.test(path))) {
      return original(...args);
    }
    const target = paths.join(' -> ');
    await life.pass({ name: `fs.${name}`, target });
    const result = original(...args);
    if (name !== 'open') return life.alive(result);
    const handle = (await result) as FileHandle;
    gateHandle(life, target, handle);
    return life.alive(Promise.resolve(handle));
  };
}

function gateHandle(life: DaemonLife, target: string, handle: FileHandle): void {
  const writeFile = handle.writeFile.bind(handle);
  const sync = handle.sync.bind(handle);
  const close = handle.close.bind(handle);
  const closed = life.opened({ close });
  handle.close = async () => {
    closed();
    await close();
  };
  handle.writeFile = async (...args) => {
    await life.pass({ name: 'fs.write', target });
    await life.alive(writeFile(...args));
  };
  handle.sync = async () => {
    await life.pass({ name: 'fs.sync', target });
    await life.alive(sync());
  };
}
