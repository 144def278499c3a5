import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { tokenOf } from '../../../src/modules/auth/token';
import { TokenVerifier } from '../../../src/modules/auth/token-verifier';

const OLD = tokenOf(Buffer.from('the-old-token-of-it'));
const NEW = tokenOf(Buffer.from('the-new-token-of-it'));
const NEWEST = tokenOf(Buffer.from('the-newest-token-of-it'));

const accepts = (verifier: TokenVerifier, token: string): boolean =>
  typeof verifier.verify(`Bearer ${token}`) !== 'string';

describe('verify', () => {
  it('compares bytes, as a token need not be ASCII', () => {
    const token = Buffer.from('pässwörter-sind-kurz');
    const verifier = new TokenVerifier(tokenOf(token), 0);
    assert.ok(accepts(verifier, token.toString('latin1')));
    assert.equal(verifier.verify(`Bearer ${token.toString('latin1')}x`), 'invalid');
  });

  it('says which token it was by the start of its SHA-256', () => {
    const verifier = new TokenVerifier(tokenOf(Buffer.from('0123456789abcdef')), 0);
    // printf %s 0123456789abcdef | sha256sum
    assert.deepEqual(verifier.verify('Bearer 0123456789abcdef'), { accepted: true, tokenId: '9f9f5111' });
  });

  it('accepts everything where there is no token', () => {
    const open = new TokenVerifier(undefined, 60);
    assert.equal(open.required, false);
    assert.deepEqual(open.verify(undefined), { accepted: true, tokenId: undefined });
    assert.equal(open.rotate(NEW), false);
    assert.equal(open.required, false);
  });
});

describe('a rotation', () => {
  it('lets the old token work for the grace and no longer, whatever the wall clock does', (test) => {
    let now = 1_000;
    test.mock.method(performance, 'now', () => now);
    mock.method(Date, 'now', () => 0);
    try {
      const verifier = new TokenVerifier(OLD, 60);
      assert.ok(verifier.rotate(NEW));
      now += 59_999;
      assert.ok(accepts(verifier, 'the-old-token-of-it'));
      assert.ok(accepts(verifier, 'the-new-token-of-it'));
      now += 1;
      assert.equal(verifier.verify('Bearer the-old-token-of-it'), 'invalid');
      assert.ok(accepts(verifier, 'the-new-token-of-it'));
    } finally {
      mock.restoreAll();
    }
  });

  it('gives each of several old tokens its own grace', (test) => {
    let now = 0;
    test.mock.method(performance, 'now', () => now);
    const verifier = new TokenVerifier(OLD, 60);
    verifier.rotate(NEW);
    now = 40_000;
    verifier.rotate(NEWEST);
    assert.ok(accepts(verifier, 'the-old-token-of-it'));
    now = 60_000;
    assert.ok(!accepts(verifier, 'the-old-token-of-it'));
    assert.ok(accepts(verifier, 'the-new-token-of-it'));
    now = 100_000;
    assert.ok(!accepts(verifier, 'the-new-token-of-it'));
    assert.ok(accepts(verifier, 'the-newest-token-of-it'));
  });

  it('ends the old token at once with a grace of 0', () => {
    const verifier = new TokenVerifier(OLD, 0);
    verifier.rotate(NEW);
    assert.equal(verifier.verify('Bearer the-old-token-of-it'), 'invalid');
  });

  it('back to a token in its grace makes it the token for good', (test) => {
    let now = 0;
    test.mock.method(performance, 'now', () => now);
    const verifier = new TokenVerifier(OLD, 60);
    verifier.rotate(NEW);
    verifier.rotate(OLD);
    now = 1_000_000;
    assert.ok(accepts(verifier, 'the-old-token-of-it'));
    assert.equal(verifier.rotate(OLD), false);
  });
});
