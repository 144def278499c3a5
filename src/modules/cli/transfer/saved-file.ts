import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { access, link, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errnoOf, errorMessage } from '../../../common/errors/domain-error';
import { syncPath } from '../../../common/os/atomic-file';
import { CliError, ExitCode } from '../errors';

/** Standard input or output, where a file is named. */
export const STANDARD = '-';

/**
 * Writes a stream to a file, which is there whole or not at all; another of its name is only replaced with `force`.
 *
 * @param through what the bytes pass on their way.
 * @throws CliError conflict when the file is there; failed when it cannot be written, or the stream broke off.
 */
export async function savedFile(
  file: string,
  force: boolean,
  source: Readable,
  through: Transform,
  signal: AbortSignal,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  const hashed = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      bytes += chunk.length;
      done(null, chunk);
    },
  });
  const told = (): { bytes: number; sha256: string } => ({ bytes, sha256: hash.digest('hex') });
  if (file === STANDARD) {
    await pipeline(source, through, hashed, process.stdout, { signal, end: false });
    return told();
  }
  const partial = join(dirname(file), `.${basename(file)}.${randomBytes(4).toString('hex')}.part`);
  try {
    if (!force) await requireAbsent(file);
    await pipeline(source, through, hashed, createWriteStream(partial, { flags: 'wx', mode: 0o600 }), {
      signal,
    });
    await syncPath(partial);
    if (force) await rename(partial, file);
    else {
      // Unlike a rename, a link never replaces a file that came in between.
      await link(partial, file);
      await rm(partial);
    }
    await syncPath(dirname(file));
    return told();
  } catch (error) {
    source.destroy();
    await rm(partial, { force: true });
    if (error instanceof CliError) throw error;
    signal.throwIfAborted();
    if (errnoOf(error) === 'EEXIST') throw exists(file);
    const reason =
      errnoOf(error) === 'ECONNRESET' ? 'the daemon broke off; its log has the details' : errorMessage(error);
    throw new CliError(ExitCode.failed, `${file} was not written: ${reason}`, undefined, { cause: error });
  }
}

async function requireAbsent(file: string): Promise<void> {
  const there = await access(file).then(
    () => true,
    () => false,
  );
  if (there) throw exists(file);
}

function exists(file: string): CliError {
  return new CliError(
    ExitCode.conflict,
    `${file} already exists`,
    'Name another file with --out, or replace it with --force.',
  );
}
