// @ts-check
import { SetupError } from './run.mjs';

const OLDEST_NODE = [20, 19];

/**
 * Whether this machine can run the daemon at all.
 *
 * @param {{platform: string, arch: string, nodeVersion: string}} machine nodeVersion without the leading v
 * @returns {string} what it is, for the progress line
 * @throws {SetupError} when it cannot
 */
export function checkMachine({ platform, arch, nodeVersion }) {
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw new SetupError(
      `Node ${OLDEST_NODE.join('.')} or later is needed, this is ${nodeVersion}; install it from nodejs.org`,
    );
  }
  if (platform !== 'linux' || arch !== 'x64') {
    throw new SetupError(
      `Linux on x86-64 is needed, this is ${platform} on ${arch}; use a Linux machine or VM (WSL 2 works too)`,
    );
  }
  return `Linux x86-64, Node ${nodeVersion}`;
}
