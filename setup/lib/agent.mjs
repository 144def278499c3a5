// @ts-check
import { cpSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { findCommand } from './packages.mjs';
import { run, SetupError } from './run.mjs';

/**
 * Builds the guest agent into dist/guest, copies the runtimes' drivers next to it, and builds the launcher of VMM processes
 * into dist/host. Each appears whole or not at all.
 *
 * @param {string} root of the project
 * @returns {Promise<string>} path of the agent
 */
export async function buildAgent(root) {
  const agent = join(root, 'dist/guest/forkd-agent');
  await buildGo('the guest agent', join(root, 'guest/agent'), agent);
  await buildGo('the launcher', join(root, 'host/launcher'), join(root, 'dist/host/forkd-launch'));
  copyRuntimes(join(root, 'guest/runtimes'), join(root, 'dist/guest/runtimes'));
  return agent;
}

/**
 * @param {string} what is built, for people
 * @param {string} source folder of the main package
 * @param {string} target path of the executable
 */
async function buildGo(what, source, target) {
  const go = findCommand('go');
  if (go === undefined) {
    throw new SetupError(
      `${what} is written in Go, and go is missing: run \`npm run setup\`, or install golang-go`,
    );
  }
  mkdirSync(dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}`;
  // Without version control stamps the agent's bytes depend on its sources only, and so do the images made with it.
  const args = ['build', '-trimpath', '-buildvcs=false', '-ldflags', '-s -w', '-o', temporary, '.'];
  const env = {
    GOCACHE: join(tmpdir(), 'forkd-go-cache'),
    ...process.env,
    CGO_ENABLED: '0',
    GOTOOLCHAIN: 'local',
    GOOS: 'linux',
  };
  if (process.env['HOME'] !== undefined && process.env['GOCACHE'] === undefined)
    Reflect.deleteProperty(env, 'GOCACHE');
  try {
    const { code, output } = await run(go, args, { cwd: source, env });
    if (code !== 0) throw new SetupError(`${what} cannot be built:\n${output.trimEnd()}`);
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/**
 * @param {string} from
 * @param {string} to
 */
function copyRuntimes(from, to) {
  const temporary = `${to}.${process.pid}`;
  try {
    cpSync(from, temporary, { recursive: true, filter: (path) => !path.endsWith('__pycache__') });
    rmSync(to, { recursive: true, force: true });
    renameSync(temporary, to);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
