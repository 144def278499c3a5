import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { CliError, ExitCode } from '../../../src/modules/cli/errors';
import { runImageTool } from '../../../src/modules/cli/image-tool';

const ENTRY = join(__dirname, '../../../src/image-tool.js');

describe('the image tool', () => {
  let directory: string;
  const tool = (...args: string[]): Promise<unknown> =>
    runImageTool({ entry: ENTRY, args: [...args, '--image-root', join(directory, 'images')] });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'forkd-image-tool-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it('lists nothing where nothing was built', async () => {
    assert.deepEqual(await tool('ls'), []);
  });

  it("passes on the images module's refusals with the exit codes of the command line", async () => {
    await assert.rejects(tool('build', 'nope'), (error) => {
      assert.ok(error instanceof CliError);
      assert.equal(error.exitCode, ExitCode.failed);
      assert.match(error.message, /nope.*python/);
      return true;
    });
    await assert.rejects(
      tool('rm', 'python'),
      (error) => error instanceof CliError && error.exitCode === ExitCode.notFound,
    );
    await assert.rejects(tool('frobnicate'), /usage: image-tool/);
  });

  it('tells its steps in words', async () => {
    const entry = join(directory, 'tool.js');
    const events = [
      { type: 'progress', step: 'fetch the kernel', done: 1_048_576, total: 3_145_728, unit: 'bytes' },
      { type: 'progress', step: 'unpack', done: 3, unit: 'files' },
      { type: 'progress', step: 'make the disk' },
      { type: 'result', value: 7 },
    ];
    await writeFile(
      entry,
      events.map((event) => `console.log(${JSON.stringify(JSON.stringify(event))});`).join('\n'),
    );
    const steps: string[] = [];
    const value = await runImageTool({ entry, args: [], onStep: (text) => steps.push(text) });
    assert.equal(value, 7);
    assert.deepEqual(steps, ['fetch the kernel: 1.0 MiB of 3.0 MiB', 'unpack: 3 files', 'make the disk']);
  });

  it('is ended by an interrupt, and a tool that says nothing is a failure', async () => {
    const entry = join(directory, 'tool.js');
    await writeFile(
      entry,
      "console.log(JSON.stringify({ type: 'progress', step: 'up' })); setInterval(() => 0, 1e6);",
    );
    const interrupt = new AbortController();
    await assert.rejects(
      runImageTool({
        entry,
        args: [],
        signal: interrupt.signal,
        onStep: () => {
          interrupt.abort();
        },
      }),
      /ended without a result \(SIGTERM\)/,
    );
  });
});
