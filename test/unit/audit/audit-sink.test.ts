import { Logger } from '@nestjs/common';
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, before, beforeEach, describe, it } from 'node:test';
import { AuditSink } from '../../../src/modules/audit/audit-sink';

let directory: string;
before(() => {
  Logger.overrideLogger(false);
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'forkd-audit-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe('AuditSink', () => {
  it('keeps the order of many lines and what was in the file', async () => {
    const path = join(directory, 'audit.log');
    await writeFile(path, 'old\n');
    const sink = new AuditSink(path);
    await sink.open();
    const lines = Array.from({ length: 1000 }, (_, index) => `${index}\n`);
    for (const line of lines.slice(0, 500)) sink.append(line);
    await sink.flush();
    for (const line of lines.slice(500)) sink.append(line);
    await sink.close();
    assert.equal(await readFile(path, 'utf8'), `old\n${lines.join('')}`);
  });

  it('creates the directories it needs', async () => {
    const sink = new AuditSink(join(directory, 'a/b/audit.log'));
    await sink.open();
    sink.append('x\n');
    await sink.close();
    assert.equal(await readFile(join(directory, 'a/b/audit.log'), 'utf8'), 'x\n');
  });

  it('says which file cannot be opened', async () => {
    await assert.rejects(new AuditSink(directory).open(), (error: Error) =>
      error.message.includes(directory),
    );
  });

  it('keeps lines that cannot be written, counts them once and writes them to the next file', async () => {
    const path = join(directory, 'audit.log');
    await symlink('/dev/full', path);
    const sink = new AuditSink(path);
    await sink.open();
    const line = sink.append('one\n');
    assert.equal(await sink.written(line), false);
    sink.append('two\n');
    await sink.flush();
    await sink.flush();
    assert.deepEqual([sink.failures, sink.failure?.includes('ENOSPC')], [2, true]);
    await rm(path);
    await sink.reopen();
    assert.equal(sink.failure, undefined);
    assert.equal(await readFile(path, 'utf8'), 'one\ntwo\n');
    await sink.close();
  });

  it('begins a new line after one that was cut short', async () => {
    const path = join(directory, 'audit.log');
    await writeFile(path, 'whole\nhal');
    const sink = new AuditSink(path);
    await sink.open();
    sink.append('next\n');
    await sink.close();
    assert.equal(await readFile(path, 'utf8'), 'whole\nhal\nnext\n');
  });

  it('keeps the old file when a new one cannot be opened', async () => {
    const path = join(directory, 'log/audit.log');
    const sink = new AuditSink(path);
    await sink.open();
    const moved = join(directory, 'moved');
    await rename(join(directory, 'log'), moved);
    await writeFile(join(directory, 'log'), 'in the way');
    await sink.reopen();
    sink.append('still here\n');
    await sink.close();
    assert.equal(await readFile(join(moved, 'audit.log'), 'utf8'), 'still here\n');
  });
});
