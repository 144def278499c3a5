import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isLoopback } from '../../common/config/load-config';
import type { DaemonConfig } from '../../common/config/daemon-config';
import { DomainError, errorMessage } from '../../common/errors/domain-error';

export type TokenVerdict = 'accepted' | 'missing' | 'invalid';

const MIN_TOKEN_BYTES = 16;
const SCHEME = 'Bearer ';

/** Knows the bearer token, or that there is none and everything is open. */
export class TokenVerifier {
  private readonly digest: Buffer | undefined;

  /** @param token the token's bytes; everything is open without one. */
  constructor(token?: Buffer) {
    this.digest = token === undefined ? undefined : digestOf(token);
  }

  /**
   * Reads the token file.
   *
   * @throws DomainError when it cannot be read or its content is no safe token, and when there is none although others can
   * reach the address.
   */
  static async load(config: Pick<DaemonConfig, 'tokenFile' | 'bindHost'>): Promise<TokenVerifier> {
    const { tokenFile, bindHost } = config;
    if (tokenFile === undefined) {
      if (isLoopback(bindHost)) return new TokenVerifier();
      throw new DomainError(
        'invalid',
        `refusing to listen on ${bindHost} without a token file (--token-file)`,
      );
    }
    let content: Buffer;
    try {
      content = await readFile(tokenFile);
    } catch (error) {
      throw new DomainError('invalid', `token file ${tokenFile} cannot be read: ${errorMessage(error)}`);
    }
    return new TokenVerifier(checkedToken(content, tokenFile));
  }

  /** Whether requests need a token at all. */
  get required(): boolean {
    return this.digest !== undefined;
  }

  /** Judges the value of an authorization header in a time that does not depend on it. */
  verify(header: string | undefined): TokenVerdict {
    if (this.digest === undefined) return 'accepted';
    if (header?.startsWith(SCHEME) !== true) return 'missing';
    // Node hands header bytes over as latin1, one character per byte.
    const presented = trimmed(Buffer.from(header.slice(SCHEME.length), 'latin1'));
    if (presented.length === 0) return 'missing';
    return timingSafeEqual(digestOf(presented), this.digest) ? 'accepted' : 'invalid';
  }
}

function checkedToken(content: Buffer, path: string): Buffer {
  const token = trimmed(content);
  const advice = 'put a random one in it, e.g. with: openssl rand -hex 32';
  if (token.length === 0) throw new DomainError('invalid', `token file ${path} is empty: ${advice}`);
  if (/^(REPLACE_ME|CHANGE_ME)/.test(token.toString('latin1'))) {
    throw new DomainError(
      'invalid',
      `token file ${path} still has the placeholder of the packaging: ${advice}`,
    );
  }
  if (token.length < MIN_TOKEN_BYTES) {
    throw new DomainError(
      'invalid',
      `the token in ${path} has ${token.length} bytes, fewer than ${MIN_TOKEN_BYTES}: ${advice}`,
    );
  }
  return token;
}

/** Without white space at both ends; on bytes, as a token need not be ASCII. */
function trimmed(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').replace(/^[\t-\r ]+|[\t-\r ]+$/g, ''), 'latin1');
}

function digestOf(token: Buffer): Buffer {
  return createHash('sha256').update(token).digest();
}
