import { createHash } from 'node:crypto';
import { DomainError } from '../../common/errors/domain-error';

const MIN_TOKEN_BYTES = 16;
const ID_DIGITS = 8;

/** A bearer token as far as the daemon keeps it: never its text. */
export interface Token {
  readonly digest: Buffer;
  /** The first hex digits of its SHA-256: tells in logs which token it was, without giving it away. */
  readonly id: string;
}

export function tokenOf(bytes: Buffer): Token {
  const digest = createHash('sha256').update(bytes).digest();
  return { digest, id: digest.toString('hex').slice(0, ID_DIGITS) };
}

/**
 * The token in a file's content.
 *
 * @throws DomainError, without the content, when it is no safe token.
 */
export function parseToken(content: Buffer, path: string): Token {
  const bytes = trimmed(content);
  const advice = 'put a random one in it, e.g. with: openssl rand -hex 32';
  if (bytes.length === 0) throw new DomainError('invalid', `token file ${path} is empty: ${advice}`);
  if (/^(REPLACE_ME|CHANGE_ME)/.test(bytes.toString('latin1'))) {
    throw new DomainError(
      'invalid',
      `token file ${path} still has the placeholder of the packaging: ${advice}`,
    );
  }
  if (bytes.length < MIN_TOKEN_BYTES) {
    throw new DomainError(
      'invalid',
      `the token in ${path} has ${bytes.length} bytes, fewer than ${MIN_TOKEN_BYTES}: ${advice}`,
    );
  }
  return tokenOf(bytes);
}

/** Without white space at both ends; on bytes, as a token need not be ASCII. */
export function trimmed(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').replace(/^[\t-\r ]+|[\t-\r ]+$/g, ''), 'latin1');
}
