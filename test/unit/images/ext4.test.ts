import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runProcess } from '../../../src/common/os/run-process';
import { writeExt4 } from '../../../src/modules/images/adapters/ext4-image';
import { runTool, TOOL_ENV } from '../../../src/modules/images/adapters/run-tool';
import { addLinks, layoutOf, mergeUsr } from '../../../src/modules/images/adapters/staging';
import { fileSystemSize, populateScript } from '../../../src/modules/images/domain/ext4-layout';

const IDENTITY = '0123456789abcdef'.repeat(4);
const HAS_TOOLS = existsSync('/usr/sbin/mke2fs') || existsSync('/sbin/mke2fs');

describe('file system script', () => {
  it('quotes names and refuses line breaks', () => {
    const script = populateScript([
      { type: 'directory', path: '/a b', mode: 0o755, owner: 0 },
      { type: 'symlink', path: '/a b/x"y', target: 'z' },
    ]);
    assert.equal(script, 'mkdir "a b"\ncd "/a b"\nsymlink "x""y" "z"\n');
    assert.throws(() => populateScript([{ type: 'symlink', path: '/a\nrm', target: 'b' }]), /line break/);
  });

  it('asks for room for every block, name and inode', () => {
    const file = { type: 'file', mode: 0o644, sourceMode: 0o644, source: '/x' } as const;
    const small = fileSystemSize([{ ...file, path: '/a', sizeBytes: 1 }]);
    const large = fileSystemSize([
      { ...file, path: '/a', sizeBytes: 1 },
      { ...file, path: '/b', sizeBytes: 4096 * 1000 },
    ]);
    assert.ok(large.blocks >= small.blocks + 1000);
    assert.equal(large.inodes, small.inodes + 1);
  });
});

describe('root file system', { skip: !HAS_TOOLS }, () => {
  let directory = '';
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'forkd-ext4-'));
  });
  after(async () => {
    await rm(directory, { recursive: true });
  });

  const context = (name: string): Parameters<typeof writeExt4>[3] => ({
    workDir: join(directory, name),
    onProgress: () => undefined,
    signal: undefined,
  });

  /** A tree like unpacked packages, made under a given umask. */
  async function stage(name: string, fileMode: number): Promise<string> {
    const root = join(directory, name, 'root');
    await mkdir(join(root, 'bin'), { recursive: true });
    await mkdir(join(root, 'usr/bin'), { recursive: true });
    await mkdir(join(root, 'tmp'));
    await mkdir(join(root, 'home/user'), { recursive: true });
    await writeFile(join(root, 'bin/tool'), 'tool');
    await chmod(join(root, 'bin/tool'), fileMode | 0o100);
    await writeFile(join(root, 'bin/su'), 'su');
    await chmod(join(root, 'bin/su'), 0o4755);
    await writeFile(join(root, 'bin/wall'), 'wall');
    await chmod(join(root, 'bin/wall'), 0o2755);
    await link(join(root, 'bin/tool'), join(root, 'usr/bin/same'));
    await writeFile(join(root, 'text'), 'x'.repeat(10_000));
    await chmod(join(root, 'text'), fileMode);
    await symlink('t'.repeat(100), join(root, 'long'));
    await mergeUsr(root);
    await addLinks(root, { '/usr/bin/ls': 'busybox', '/usr/bin/tool': 'busybox' });
    return root;
  }

  const debugfs = async (image: string, command: string): Promise<string> =>
    (await runTool('debugfs', ['-R', command, image])).stdout;

  it('belongs to root, keeps modes, merges /usr, and is sound', async () => {
    const root = await stage('one', 0o644);
    const image = join(directory, 'one.ext4');
    await writeExt4(image, await layoutOf(root), IDENTITY, context('one'));
    await runProcess('e2fsck', ['-f', '-n', image], { env: TOOL_ENV });
    const expected: Record<string, [string, string]> = {
      '/tmp': ['01777', '0'],
      '/home/user': ['0755', '1000'],
      '/usr/bin/tool': ['0755', '0'],
      '/usr/bin/su': ['04755', '0'],
      // Its group would be root's.
      '/usr/bin/wall': ['0755', '0'],
      '/text': ['0644', '0'],
    };
    for (const [path, [mode, owner]] of Object.entries(expected)) {
      const text = await debugfs(image, `stat ${path}`);
      assert.match(text, new RegExp(`Mode: +${mode} `), path);
      assert.match(text, new RegExp(`User: +${owner} +Group: +${owner} `), path);
    }
    assert.match(await debugfs(image, 'stat /usr/bin/same'), /Links: 2/);
    assert.match(await debugfs(image, 'stat /bin'), /Fast link dest: "usr\/bin"/);
    assert.match(await debugfs(image, 'stat /usr/bin/ls'), /Fast link dest: "busybox"/);
    assert.equal(await debugfs(image, 'cat /usr/bin/tool'), 'tool');
    assert.equal(await debugfs(image, 'cat /text'), 'x'.repeat(10_000));
  });

  it('is the same, byte for byte, whatever the umask of the build was', async () => {
    const images: Buffer[] = [];
    for (const [name, mode] of [
      ['two', 0o600],
      ['three', 0o664],
    ] as const) {
      const image = join(directory, `${name}.ext4`);
      await writeExt4(image, await layoutOf(await stage(name, mode)), IDENTITY, context(name));
      images.push(await readFile(image));
    }
    assert.equal(images[0]?.equals(images[1] ?? Buffer.alloc(0)), true);
  });

  it('is not written when a file has vanished', async () => {
    await mkdir(join(directory, 'four'));
    const gone = {
      type: 'file',
      path: '/x',
      mode: 0o644,
      sourceMode: 0o644,
      source: '/nonexistent/x',
      sizeBytes: 1,
    } as const;
    await assert.rejects(
      writeExt4(join(directory, 'four.ext4'), [gone], IDENTITY, context('four')),
      /nonexistent|failed/,
    );
  });
});
