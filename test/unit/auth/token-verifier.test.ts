import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TokenVerifier } from '../../../src/modules/auth/token-verifier';

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'forkd-token-'));
});
after(async () => {
  await rm(directory, { recursive: true });
});

async function load(content: string | Buffer): Promise<TokenVerifier> {
  const tokenFile = join(directory, 'token');
  await writeFile(tokenFile, content);
  return TokenVerifier.load({ tokenFile, bindHost: '127.0.0.1' });
}

describe('the token file', () => {
  it('may have white space around the token', async () => {
    const verifier = await load(' \n0123456789abcdef\r\n\n');
    assert.equal(verifier.verify('Bearer 0123456789abcdef'), 'accepted');
  });

  it('is refused when empty, a placeholder or too short', async () => {
    await assert.rejects(load(''), /empty/);
    await assert.rejects(load(' \n\t'), /empty/);
    await assert.rejects(load('REPLACE_ME_WITH_A_LONG_TOKEN'), /placeholder/);
    await assert.rejects(load('  CHANGE_ME_0123456789abcdef'), /placeholder/);
    await assert.rejects(load('0123456789abcde'), /15 bytes, fewer than 16/);
  });

  it('is never shown in an error', async () => {
    await assert.rejects(load('hunter2'), (error: Error) => !error.message.includes('hunter2'));
  });

  it('is refused when it cannot be read', async () => {
    const tokenFile = join(directory, 'absent');
    await assert.rejects(
      TokenVerifier.load({ tokenFile, bindHost: '127.0.0.1' }),
      /absent cannot be read: ENOENT/,
    );
  });

  it('may be missing on loopback only', async () => {
    const open = await TokenVerifier.load({ tokenFile: undefined, bindHost: '::1' });
    assert.equal(open.required, false);
    assert.equal(open.verify(undefined), 'accepted');
    await assert.rejects(TokenVerifier.load({ tokenFile: undefined, bindHost: '0.0.0.0' }), /--token-file/);
  });
});

describe('verify', () => {
  it('compares bytes, as a token need not be ASCII', async () => {
    const token = Buffer.from('pässwörter-sind-kurz');
    const verifier = await load(token);
    assert.equal(verifier.verify(`Bearer ${token.toString('latin1')}`), 'accepted');
    assert.equal(verifier.verify(`Bearer ${token.toString('latin1')}x`), 'invalid');
  });
});
