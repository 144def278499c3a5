import { Logger } from '@nestjs/common';
import { open } from 'node:fs/promises';
import { isLoopback } from '../../common/config/load-config';
import type { DaemonConfig } from '../../common/config/daemon-config';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import { FileWatcher } from '../../common/os/file-watcher';
import { parseToken, type Token } from './token';
import { TokenVerifier } from './token-verifier';

type Settings = Pick<DaemonConfig, 'tokenFile' | 'tokenGraceSecs' | 'bindHost'>;

/** Far more than a token; guards against a path that names something else. */
const MAX_BYTES = 64 * 1024;
const PRIVATE_MODES: ReadonlySet<number> = new Set([0o600, 0o400]);

/** The file with the daemon's token: read at start, followed afterwards. */
export class TokenFile {
  private readonly logger = new Logger('Auth');
  private watcher: FileWatcher | undefined;
  private loading: Promise<void> = Promise.resolve();
  /** What was complained about last, so that it is said once. */
  private complaint: string | undefined;

  private constructor(
    private readonly path: string | undefined,
    readonly verifier: TokenVerifier,
  ) {}

  /**
   * Reads the token file.
   *
   * @throws DomainError when it cannot be read or its content is no safe token, and when there is none although others can
   * reach the address.
   */
  static async load({ tokenFile, tokenGraceSecs, bindHost }: Settings): Promise<TokenFile> {
    if (tokenFile === undefined) {
      if (isLoopback(bindHost)) return new TokenFile(undefined, new TokenVerifier(undefined, 0));
      throw new DomainError(
        'invalid',
        `refusing to listen on ${bindHost} without a token file (--token-file)`,
      );
    }
    const { token, complaint } = await readToken(tokenFile);
    const file = new TokenFile(tokenFile, new TokenVerifier(token, tokenGraceSecs));
    file.complain(complaint);
    return file;
  }

  /** Follows changes of the file until {@link close}. */
  watch(): void {
    if (this.path === undefined || this.watcher !== undefined) return;
    const { path } = this;
    this.watcher = new FileWatcher([path], {
      changed: () => void this.reload(),
      failed: (error) => {
        const text = errorMessage(error);
        this.logger.warn(`token file ${path} cannot be watched, send SIGHUP after a change: ${text}`);
      },
    });
  }

  /** Reads the file anew. What is no safe token leaves the old one in use and is said in the log; it never rejects. */
  reload(): Promise<void> {
    const { path } = this;
    if (path === undefined) return Promise.resolve();
    this.loading = this.loading.then(async () => {
      try {
        const { token, complaint } = await readToken(path);
        if (this.verifier.rotate(token)) this.logger.log(`token ${token.id} of ${path} is in use now`);
        this.complain(complaint);
      } catch (error) {
        this.complain(`${errorMessage(error)}. The token that was read before stays in use`);
      }
    });
    return this.loading;
  }

  close(): void {
    this.watcher?.close();
    this.watcher = undefined;
  }

  private complain(text: string | undefined): void {
    if (text !== undefined && text !== this.complaint) this.logger.warn(text);
    this.complaint = text;
  }
}

async function readToken(path: string): Promise<{ token: Token; complaint: string | undefined }> {
  let content: Buffer;
  let mode: number;
  try {
    const file = await open(path, 'r');
    try {
      const stats = await file.stat();
      if (stats.size > MAX_BYTES) throw new Error(`it has ${stats.size} bytes, which is no token`);
      mode = stats.mode & 0o777;
      content = await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new DomainError('invalid', `token file ${path} cannot be read: ${errorMessage(error)}`);
  }
  const token = parseToken(content, path);
  if (PRIVATE_MODES.has(mode)) return { token, complaint: undefined };
  const octal = mode.toString(8).padStart(4, '0');
  return { token, complaint: `token file ${path} has mode ${octal} instead of 0600 or 0400: chmod 0600 it` };
}
