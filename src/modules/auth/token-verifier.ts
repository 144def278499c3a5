import { timingSafeEqual } from 'node:crypto';
import { type Token, tokenOf, trimmed } from './token';

export type TokenVerdict =
  /** `tokenId` is undefined where no token is needed. */
  { readonly accepted: true; readonly tokenId: string | undefined } | 'missing' | 'invalid';

const SCHEME = 'Bearer ';

interface ReplacedToken {
  readonly token: Token;
  /** On the monotonic clock, in milliseconds. */
  readonly until: number;
}

/** Knows the bearer token, or that there is none and everything is open; for a while also the tokens it replaced. */
export class TokenVerifier {
  private replaced: readonly ReplacedToken[] = [];

  /** @param current everything is open without one. */
  constructor(
    private current: Token | undefined,
    private readonly graceSecs: number,
  ) {}

  /** Whether requests need a token at all. */
  get required(): boolean {
    return this.current !== undefined;
  }

  /** Takes a new token; the old one works for the grace from now on. Says whether it was another one. */
  rotate(next: Token): boolean {
    const { current } = this;
    if (current === undefined || current.digest.equals(next.digest)) return false;
    const now = performance.now();
    const old = { token: current, until: now + this.graceSecs * 1000 };
    this.replaced = [...this.replaced, old].filter(
      ({ token, until }) => until > now && !token.digest.equals(next.digest),
    );
    this.current = next;
    return true;
  }

  /** Judges the value of an authorization header in a time that does not depend on it. */
  verify(header: string | undefined): TokenVerdict {
    if (this.current === undefined) return { accepted: true, tokenId: undefined };
    if (header?.startsWith(SCHEME) !== true) return 'missing';
    // Node hands header bytes over as latin1, one character per byte.
    const bytes = trimmed(Buffer.from(header.slice(SCHEME.length), 'latin1'));
    if (bytes.length === 0) return 'missing';
    const presented = tokenOf(bytes);
    // All are compared, whichever matches.
    const matches = this.valid().filter(({ digest }) => timingSafeEqual(presented.digest, digest));
    return matches.length > 0 ? { accepted: true, tokenId: presented.id } : 'invalid';
  }

  private valid(): Token[] {
    const now = performance.now();
    const replaced = this.replaced.filter(({ until }) => until > now);
    this.replaced = replaced;
    return [...(this.current === undefined ? [] : [this.current]), ...replaced.map(({ token }) => token)];
  }
}
