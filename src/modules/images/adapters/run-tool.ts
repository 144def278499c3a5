import { DomainError } from '../../../common/errors/domain-error';
import { ProcessError, runProcess, type RunOptions, type RunResult } from '../../../common/os/run-process';
import { missingToolMessage, type ToolName } from '../domain/tools';

/** System tools are found for ordinary users too, whose PATH often lacks the sbin directories. */
export const TOOL_ENV: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C.UTF-8',
};

/**
 * Runs one of the tools the builder depends on.
 *
 * @throws DomainError unavailable when the tool is missing (with the package that brings it) or the disk is full;
 *   ProcessError when it fails otherwise.
 */
export async function runTool(
  tool: ToolName,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  try {
    return await runProcess(tool, args, { env: TOOL_ENV, ...options });
  } catch (error) {
    if (!(error instanceof ProcessError)) throw error;
    if (error.missing) throw new DomainError('unavailable', missingToolMessage(tool), { cause: error });
    if (/no space left on device|not enough free space/i.test(error.stderr)) throw diskFull(error);
    throw error;
  }
}

export function diskFull(cause: unknown): DomainError {
  return new DomainError(
    'unavailable',
    'the disk that holds the images is full; free some space and build again (a python image needs about 500 MB while it is built)',
    { cause },
  );
}
