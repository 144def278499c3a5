import assert from 'node:assert/strict';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ProcessError, runProcess } from '../../../src/common/os/run-process';
import { runTool } from '../../../src/modules/images/adapters/run-tool';

function fails(expected: Partial<ProcessError>, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ProcessError);
    for (const [key, value] of Object.entries(expected))
      assert.equal(error[key as keyof ProcessError], value);
    assert.match(error.message, text);
    return true;
  };
}

describe('run process', () => {
  it('gives arguments as they are and returns the output', async () => {
    const result = await runProcess('printf', ['%s|', 'a b', '$HOME', '*']);
    assert.equal(result.stdout, 'a b|$HOME|*|');
  });

  it('passes input, environment and directory', async () => {
    const result = await runProcess('/bin/sh', ['-c', 'cat; echo "$X"; pwd'], {
      input: 'in ',
      env: { X: 'value', PATH: '/usr/bin:/bin' },
      cwd: '/',
    });
    assert.equal(result.stdout, 'in value\n/\n');
  });

  it('writes output to a stream', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'forkd-run-'));
    try {
      const output = createWriteStream(join(directory, 'out'));
      await runProcess('printf', ['hello'], { output });
      assert.equal(await readFile(join(directory, 'out'), 'utf8'), 'hello');
      const broken = createWriteStream(join(directory, 'none/out'));
      await assert.rejects(runProcess('printf', ['hello'], { output: broken }), { code: 'ENOENT' });
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('names tool, exit code and last words of a failure', async () => {
    const failing = runProcess('/bin/sh', ['-c', 'echo first >&2; echo last words >&2; exit 3']);
    await assert.rejects(
      failing,
      fails({ exitCode: 3, missing: false }, /^\/bin\/sh failed with exit code 3: last words$/),
    );
    await assert.rejects(
      runProcess('/bin/sh', ['-c', 'kill -9 $$']),
      fails({ exitCode: null }, /signal SIGKILL/),
    );
  });

  it('tells a missing tool, and the image builder its package', async () => {
    await assert.rejects(runProcess('forkd-no-such-tool', []), fails({ missing: true }, /was not found/));
    await assert.rejects(
      runTool('lz4', [], { env: { PATH: '/nonexistent' } }),
      /lz4 was not found on this machine; install it with `apt-get install lz4`/,
    );
  });

  it('kills the whole group at its time limit', async () => {
    // The grandchild holds the output open, so this ends only when it is killed too.
    const hanging = runProcess('/bin/sh', ['-c', 'sleep 1000 & sleep 1000'], { timeoutMs: 50 });
    await assert.rejects(hanging, fails({ exitCode: null }, /did not end within 0\.1 s/));
  });

  it('kills the whole group when aborted, and throws the reason', async () => {
    const controller = new AbortController();
    const running = runProcess('/bin/sh', ['-c', 'echo started; sleep 1000 & wait'], {
      signal: controller.signal,
      onLine: () => {
        controller.abort(new Error('enough'));
      },
    });
    await assert.rejects(running, /enough/);
    await assert.rejects(runProcess('true', [], { signal: controller.signal }), /enough/);
  });

  it('keeps the end of long output', async () => {
    const { stdout } = await runProcess('/bin/sh', ['-c', 'seq 1 100000'], { maxOutputBytes: 1000 });
    assert.equal(stdout.length, 1000);
    assert.ok(stdout.endsWith('99999\n100000\n'));
  });

  it('reports whole lines as they come', async () => {
    const lines: string[] = [];
    await runProcess('/bin/sh', ['-c', 'printf "a"; printf "b\\nc"'], { onLine: (line) => lines.push(line) });
    assert.deepEqual(lines, ['ab', 'c']);
  });
});
