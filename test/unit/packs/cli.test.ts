import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestApp } from '../../support/app';
import { PackLab } from '../../support/packs';
import { type CliRun, runCli } from '../cli/run-cli';

describe('forkd snapshot pack and unpack', () => {
  let lab: PackLab;
  let directory: string;

  before(async () => {
    lab = new PackLab(await TestApp.start());
    await lab.snapshot('py', [0, 7]);
    await lab.snapshot('c1', [8], 'py');
    directory = await mkdtemp(join(tmpdir(), 'forkd-packs-'));
  });
  after(async () => {
    await lab.close();
    await lab.app.close();
    await rm(directory, { recursive: true, force: true });
  });

  const file = (name: string): string => join(directory, name);
  const forkd = (...args: string[]): Promise<CliRun> =>
    runCli([...args, '--url', `http://127.0.0.1:${lab.app.port}`]);

  it('write one file that becomes a snapshot again, as JSON says', async () => {
    const packed = await forkd('snapshot', 'pack', 'py', '--out', file('py.pack'), '--json');
    assert.equal(packed.code, 0, packed.stderr);
    const { bytes, sha256, content_bytes, seconds, ...rest } = JSON.parse(packed.stdout) as Record<
      string,
      unknown
    >;
    assert.deepEqual(rest, { tag: 'py', file: file('py.pack') });
    const content = await readFile(file('py.pack'));
    assert.deepEqual([bytes, sha256], [content.length, createHash('sha256').update(content).digest('hex')]);
    assert.ok(Number(content_bytes) > 0 && Number(seconds) > 0);
    const unpacked = await forkd('snapshot', 'unpack', file('py.pack'), '--as', 'again', '--json');
    assert.equal(unpacked.code, 0, unpacked.stderr);
    const { tag, unpacked: made } = JSON.parse(unpacked.stdout) as Record<string, unknown>;
    assert.deepEqual([tag, made], ['again', ['again']]);
    await lab.requireImage('again', lab.imageOf('py'));
  });

  it('know upstream’s spellings', async () => {
    const packed = await forkd('pack', '--tag', 'c1', '--out', file('c1.pack'));
    assert.equal(packed.code, 0, packed.stderr);
    assert.match(packed.stdout, /^tag +c1\nfile .*\nsize .* of content\nsha256 +[0-9a-f]{64}\n$/);
    const unpacked = await forkd('unpack', file('c1.pack'), '--tag', 'c1b');
    assert.equal(unpacked.code, 0, unpacked.stderr);
    assert.match(unpacked.stdout, /^tag +c1b\nnew +c1b\nstored on +py\n/);
  });

  it('replace no file, but with --force, and leave none behind when they fail', async () => {
    await writeFile(file('there'), 'mine');
    const kept = await forkd('snapshot', 'pack', 'py', '-o', file('there'));
    assert.deepEqual([kept.code, await readFile(file('there'), 'utf8')], [5, 'mine']);
    assert.match(kept.stderr, /already exists\nName another file with --out, or replace it with --force\./);
    assert.equal(
      (await forkd('snapshot', 'pack', 'py', '-o', file('there'), '--force', '--quiet')).stdout,
      `${file('there')}\n`,
    );
    const unknown = await forkd('snapshot', 'pack', 'pyy', '-o', file('none'));
    assert.deepEqual([unknown.code, unknown.stdout], [4, '']);
    assert.match(unknown.stderr, /snapshot pyy not found/);
    const nowhere = await forkd('snapshot', 'pack', 'py', '-o', file('missing/none'));
    assert.equal(nowhere.code, 1);
    assert.deepEqual((await readdir(directory)).sort(), ['c1.pack', 'py.pack', 'there']);
  });

  it('say what is wrong with a pack, with the exit code for it', async () => {
    const taken = await forkd('snapshot', 'unpack', file('py.pack'));
    assert.equal(taken.code, 5);
    assert.match(taken.stderr, /snapshot py already exists/);
    await writeFile(file('text'), 'x'.repeat(5000));
    const bad = await forkd('snapshot', 'unpack', file('text'));
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /the pack is not usable/);
    assert.equal((await forkd('snapshot', 'unpack', file('nothing'))).code, 1);
    assert.equal((await runCli(['snapshot', 'unpack', file('text'), '--url', 'http://127.0.0.1:1'])).code, 3);
  });
});
