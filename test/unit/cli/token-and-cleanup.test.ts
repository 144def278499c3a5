import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Ajv } from 'ajv';
import { TestApp } from '../../support/app';
import { SimulatedHost } from '../../support/simulated-host';
import { until } from '../../support/until';
import { type CliRun, runCli } from './run-cli';

const ajv = new Ajv();

/** The JSON that a run has printed, which must fit the schema. */
function fitting(run: CliRun, schema: object): unknown {
  assert.equal(run.code, 0, run.stderr);
  const value: unknown = JSON.parse(run.stdout);
  assert.ok(ajv.validate(schema, value), JSON.stringify(ajv.errors));
  return value;
}

describe('forkd token rotate', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'forkd-token-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it('makes a file for its owner only, and prints no token', async () => {
    const file = join(directory, 'token');
    const run = await runCli(['token', 'rotate', file, '--json']);
    const printed = fitting(run, {
      type: 'object',
      properties: { file: { const: file }, token_id: { type: 'string', pattern: '^[0-9a-f]{8}$' } },
      required: ['file', 'token_id'],
      additionalProperties: false,
    });
    assert.ok(printed);
    const token = await readFile(file, 'utf8');
    assert.match(token, /^[0-9a-f]{64}\n$/);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.ok(!`${run.stdout}${run.stderr}`.includes(token.trim()));
    assert.deepEqual(await readdir(directory), ['token']);
  });

  it('replaces what a symbolic link leads to, keeps its owner, and takes other modes away', async () => {
    const file = join(directory, 'real');
    await writeFile(file, 'old');
    await chmod(file, 0o644);
    const { chown } = await import('node:fs/promises');
    if (process.getuid?.() === 0) await chown(file, 1234, 1235);
    const link = join(directory, 'link');
    await symlink('real', link);
    const run = await runCli(['token', 'rotate'], { env: { FORKD_TOKEN_FILE: link } });
    assert.equal(run.code, 0, run.stderr);
    const { mode, uid, gid } = await stat(file);
    assert.equal(mode & 0o777, 0o600);
    if (process.getuid?.() === 0) assert.deepEqual([uid, gid], [1234, 1235]);
    assert.notEqual(await readFile(link, 'utf8'), 'old');
    assert.deepEqual((await readdir(directory)).sort(), ['link', 'real']);
  });

  it('refuses what is no file, and leaves nothing', async () => {
    const path = join(directory, 'directory');
    await mkdir(path);
    assert.equal((await runCli(['token', 'rotate', path])).code, 2);
    assert.equal((await runCli(['token', 'rotate', join(directory, 'none', 'token')])).code, 1);
    assert.equal((await runCli(['token', 'rotate'])).code, 2);
    assert.deepEqual(await readdir(directory), ['directory']);
  });

  it('is followed by a daemon that runs', async () => {
    const app = await TestApp.start({ token: 'an-old-token-of-the-test' });
    try {
      const file = app.config.tokenFile ?? '';
      assert.equal((await runCli(['token', 'rotate', file])).code, 0);
      const headers = { authorization: `Bearer ${(await readFile(file, 'utf8')).trim()}` };
      await until(async () => (await app.send('GET', '/version', { headers })).status === 200);
    } finally {
      await app.close();
    }
  });
});

describe('forkd cleanup', () => {
  const SCHEMA = {
    type: 'object',
    properties: {
      dry_run: { type: 'boolean' },
      sandboxes: { type: 'array', items: { type: 'string' } },
      snapshots: { type: 'array', items: { type: 'string' } },
      errors: { type: 'array', items: { type: 'string' } },
    },
    required: ['dry_run', 'sandboxes', 'snapshots', 'errors'],
    additionalProperties: false,
  };
  let host: SimulatedHost;
  let ids: string[];
  const forkd = (...args: string[]): Promise<CliRun> =>
    runCli(args, { env: { FORKD_URL: `http://127.0.0.1:${host.client.port}` } });

  before(async () => {
    host = await SimulatedHost.start();
    await host.snapshot('py');
    const body = { snapshot_tag: 'py', n: 2 };
    ids = (await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', body)).map(({ id }) => id);
    // The guest of the first one powers off.
    await host.client.send('POST', `/v1/sandboxes/${ids[0] ?? ''}/exec`, { json: { args: ['poweroff'] } });
    await until(async () => (await forkd('ls', '--json')).stdout.includes('"dead"'));
  });
  after(async () => {
    await host.stop();
  });

  it('removes sandboxes whose VM has ended, and no other', async () => {
    const found = { sandboxes: [ids[0]], snapshots: [], errors: [] };
    assert.deepEqual(fitting(await forkd('cleanup', '--dry-run', '--json'), SCHEMA), {
      dry_run: true,
      ...found,
    });
    assert.deepEqual(fitting(await forkd('cleanup', '--json'), SCHEMA), { dry_run: false, ...found });
    assert.equal((await forkd('ls', '--quiet')).stdout, `${ids[1] ?? ''}\n`);
    const nothing = await forkd('cleanup');
    assert.deepEqual([nothing.code, nothing.stdout], [0, '']);
  });
});
