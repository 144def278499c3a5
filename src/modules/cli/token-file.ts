import { createHash, randomBytes } from 'node:crypto';
import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CliError, ExitCode } from './errors';

const TOKEN_BYTES = 32;
const ID_DIGITS = 8;

/** What may be told of a new token. */
export interface RotatedToken {
  readonly file: string;
  /** The start of its SHA-256, as the daemon's log and audit log have it. */
  readonly token_id: string;
}

/**
 * Puts a new random token into a file, for its owner only: whoever reads it finds the old one or the new one, whole. A
 * file that is there keeps its owner; of a symbolic link the file behind it is replaced.
 *
 * @throws CliError with the reason; the file is then as it was.
 */
export async function rotateToken(path: string): Promise<RotatedToken> {
  try {
    const file = await realpath(path).catch((error: unknown) => {
      if (isMissing(error)) return path;
      throw error;
    });
    const token = randomBytes(TOKEN_BYTES).toString('hex');
    await replace(file, `${token}\n`);
    const token_id = createHash('sha256').update(token).digest('hex').slice(0, ID_DIGITS);
    return { file, token_id };
  } catch (error) {
    if (error instanceof CliError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(ExitCode.failed, `the token was not changed: ${reason}`, undefined, { cause: error });
  }
}

async function replace(file: string, content: string): Promise<void> {
  const old = await stat(file).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (old !== undefined && !old.isFile()) throw new CliError(ExitCode.usage, `${file} is not a file`);
  const temporary = `${file}.${process.pid}.new`;
  const handle = await open(temporary, 'wx', 0o600);
  try {
    try {
      if (old !== undefined) await handle.chown(old.uid, old.gid);
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const directory = await open(dirname(file), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
