// @ts-check
import { cpSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findCommand } from './packages.mjs';
import { run, SetupError } from './run.mjs';

/**
 * Builds the guest agent into dist/guest and copies the runtimes' drivers next to it. Each appears whole or not at all.
 *
 * @param {string} root of the project
 * @returns {Promise<string>} path of the agent
 */
export async function buildAgent(root) {
  const go = findCommand('go');
  if (go === undefined) {
    throw new SetupError(
      'the guest agent is written in Go, and go is missing: run `npm run setup`, or install golang-go',
    );
  }
  const target = join(root, 'dist/guest');
  mkdirSync(target, { recursive: true });
  const agent = join(target, 'forkd-agent');
  const temporary = `${agent}.${process.pid}`;
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
    const { code, output } = await run(go, args, { cwd: join(root, 'guest/agent'), env });
    if (code !== 0) throw new SetupError(`the guest agent cannot be built:\n${output.trimEnd()}`);
    renameSync(temporary, agent);
  } finally {
    rmSync(temporary, { force: true });
  }
  copyRuntimes(join(root, 'guest/runtimes'), join(target, 'runtimes'));
  return agent;
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
