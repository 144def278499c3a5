import { Logger } from '@nestjs/common';
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { TokenFile } from '../../../src/modules/auth/token-file';
import { RecordedLog } from '../../support/recorded-log';

const FIRST = 'first-token-0123456789';
const SECOND = 'second-token-0123456789';

let directory: string;
let tokenFile: string;
let log: RecordedLog;
const opened: TokenFile[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'forkd-token-'));
  tokenFile = join(directory, 'token');
  log = new RecordedLog();
  Logger.overrideLogger(log);
});
afterEach(async () => {
  for (const file of opened.splice(0)) file.close();
  Logger.overrideLogger(false);
  await rm(directory, { recursive: true });
});

async function load(content?: string | Buffer, graceSecs = 60): Promise<TokenFile> {
  if (content !== undefined) await writeFile(tokenFile, content, { mode: 0o600 });
  const file = await TokenFile.load({ tokenFile, tokenGraceSecs: graceSecs, bindHost: '127.0.0.1' });
  opened.push(file);
  return file;
}

const accepts = (file: TokenFile, token: string): boolean =>
  typeof file.verifier.verify(`Bearer ${token}`) !== 'string';

/** A file under a new name that takes the old one's place in one step, as secret managers do it. */
async function replace(content: string, mode = 0o600): Promise<void> {
  await writeFile(`${tokenFile}.new`, content, { mode });
  await rename(`${tokenFile}.new`, tokenFile);
}

describe('the token file at start', () => {
  it('may have white space around the token', async () => {
    assert.ok(accepts(await load(' \n0123456789abcdef\r\n\n'), '0123456789abcdef'));
  });

  it('is refused when empty, a placeholder, too short or too long', async () => {
    await assert.rejects(load(''), /empty/);
    await assert.rejects(load(' \n\t'), /empty/);
    await assert.rejects(load('REPLACE_ME_WITH_A_LONG_TOKEN'), /placeholder/);
    await assert.rejects(load('  CHANGE_ME_0123456789abcdef'), /placeholder/);
    await assert.rejects(load('0123456789abcde'), /15 bytes, fewer than 16/);
    await assert.rejects(load(Buffer.alloc(100_000, 'a')), /100000 bytes, which is no token/);
  });

  it('is never shown in an error', async () => {
    await assert.rejects(load('hunter2'), (error: Error) => !error.message.includes('hunter2'));
  });

  it('is refused when it cannot be read', async () => {
    await assert.rejects(load(), /token cannot be read: ENOENT/);
  });

  it('may be missing on loopback only', async () => {
    const settings = { tokenFile: undefined, tokenGraceSecs: 60 };
    assert.equal((await TokenFile.load({ ...settings, bindHost: '::1' })).verifier.required, false);
    await assert.rejects(TokenFile.load({ ...settings, bindHost: '0.0.0.0' }), /--token-file/);
  });

  it('is warned about unless its mode is 0600 or 0400', async () => {
    for (const mode of [0o600, 0o400]) {
      await writeFile(tokenFile, FIRST);
      await chmod(tokenFile, mode);
      await load();
      assert.deepEqual(log.lines, [], mode.toString(8));
    }
    for (const mode of [0o640, 0o604, 0o700]) {
      await chmod(tokenFile, mode);
      await load();
      await log.said('warn', new RegExp(`token has mode 0${mode.toString(8)} instead of 0600 or 0400`));
    }
  });

  it("may be one of systemd's credentials: mode 0400 in a directory that cannot be written", async () => {
    const credentials = join(directory, 'credentials');
    await mkdir(credentials);
    tokenFile = join(credentials, 'forkd-token');
    await writeFile(tokenFile, `${FIRST}\n`, { mode: 0o400 });
    await chmod(credentials, 0o500);
    const file = await load();
    file.watch();
    await file.reload();
    assert.ok(accepts(file, FIRST));
    assert.deepEqual(log.lines, []);
    await chmod(credentials, 0o700);
  });
});

describe('a change of the token file', () => {
  const watched = async (graceSecs = 60): Promise<TokenFile> => {
    const file = await load(FIRST, graceSecs);
    file.watch();
    return file;
  };
  const inUse = /token [0-9a-f]{8} of .*token is in use now/;

  it('is followed: rename into place, writing in place, removal and return', async () => {
    const file = await watched();
    await replace(SECOND);
    await log.said('log', inUse);
    assert.ok(accepts(file, SECOND) && accepts(file, FIRST));

    await writeFile(tokenFile, 'third-token-0123456789');
    await log.said('log', inUse, 2);
    assert.ok(accepts(file, 'third-token-0123456789'));

    await rm(tokenFile);
    await log.said('warn', /cannot be read: ENOENT.*stays in use/);
    assert.ok(accepts(file, 'third-token-0123456789'));

    await writeFile(tokenFile, 'fourth-token-0123456789', { mode: 0o600 });
    await log.said('log', inUse, 3);
    assert.ok(accepts(file, 'fourth-token-0123456789'));
  });

  it('is followed when Kubernetes switches ..data over', async () => {
    const volume = join(directory, 'volume');
    await mkdir(join(volume, '..1'), { recursive: true });
    await mkdir(join(volume, '..2'));
    await writeFile(join(volume, '..1/token'), FIRST, { mode: 0o400 });
    await writeFile(join(volume, '..2/token'), SECOND, { mode: 0o400 });
    await symlink('..1', join(volume, '..data'));
    await symlink('..data/token', join(volume, 'token'));
    tokenFile = join(volume, 'token');
    const file = await load();
    file.watch();
    await symlink('..2', join(volume, '..data_tmp'));
    await rename(join(volume, '..data_tmp'), join(volume, '..data'));
    await log.said('log', inUse);
    assert.ok(accepts(file, SECOND));
  });

  it('is followed through a link to another directory, and when a directory is replaced', async () => {
    const secrets = join(directory, 'secrets');
    await mkdir(secrets);
    await writeFile(join(secrets, 'current'), FIRST, { mode: 0o600 });
    await symlink(join(secrets, 'current'), tokenFile);
    const file = await load();
    file.watch();
    await writeFile(join(secrets, 'next'), SECOND, { mode: 0o600 });
    await rename(join(secrets, 'next'), join(secrets, 'current'));
    await log.said('log', inUse);
    assert.ok(accepts(file, SECOND));

    await mkdir(join(directory, 'later'));
    await writeFile(join(directory, 'later/current'), 'third-token-0123456789', { mode: 0o600 });
    await rm(secrets, { recursive: true });
    await log.said('warn', /stays in use/);
    await rename(join(directory, 'later'), secrets);
    await log.said('log', inUse, 2);
    assert.ok(accepts(file, 'third-token-0123456789'));
  });

  it('to something that is no token keeps the old one and is said once', async () => {
    const file = await watched();
    const broken: [content: string, text: RegExp][] = [
      ['', /is empty.*stays in use/],
      ['REPLACE_ME_REPLACE_ME', /placeholder.*stays in use/],
      ['short', /5 bytes.*stays in use/],
    ];
    for (const [content, text] of broken) {
      await replace(content);
      await log.said('warn', text);
      await file.reload();
      assert.ok(accepts(file, FIRST));
    }
    assert.equal(log.lines.length, broken.length);
    await replace(SECOND);
    await log.said('log', inUse);
  });

  it('to a directory keeps the old one', async () => {
    const file = await watched();
    await rm(tokenFile);
    await mkdir(tokenFile);
    await log.said('warn', /EISDIR.*stays in use/);
    assert.ok(accepts(file, FIRST));
  });

  it('to a file that others can read is followed and warned about', async () => {
    const file = await watched(0);
    await replace(SECOND, 0o644);
    await log.said('warn', /has mode 0644/);
    assert.ok(accepts(file, SECOND));
    assert.ok(!accepts(file, FIRST));
  });

  it('never puts a token into the log', async () => {
    await watched();
    await replace(SECOND);
    await log.said('log', inUse);
    await replace('short');
    await log.said('warn', /5 bytes/);
    const text = log.lines.map(({ text: line }) => line).join('\n');
    assert.doesNotMatch(text, /first-token|second-token/);
  });
});
