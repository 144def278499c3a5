// @ts-check
import { run, SetupError } from '../run.mjs';

/**
 * Runs a tool whose failure ends the making of the host.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {import('../run.mjs').RunOptions} [options]
 * @returns {Promise<string>} its output
 */
export async function must(command, args, options) {
  const { code, output } = await run(command, args, options);
  if (code === 0) return output;
  const end = output.trimEnd().split('\n').slice(-15).join('\n    ');
  throw new SetupError(`the test host cannot be made: ${command} failed with exit code ${code}\n    ${end}`);
}
