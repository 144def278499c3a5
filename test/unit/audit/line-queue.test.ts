import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LineQueue } from '../../../src/modules/audit/line-queue';

describe('LineQueue', () => {
  it('gives every line once and whole, wherever writes stop', () => {
    const lines = fc.array(
      fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.replaceAll('\n', ' ')),
    );
    const steps = fc.array(fc.nat(30), { minLength: 1 });
    fc.assert(
      fc.property(lines, steps, (texts, lengths) => {
        const queue = new LineQueue();
        let written = Buffer.alloc(0);
        const write = (limit: number): void => {
          const chunk = queue.chunk();
          if (chunk === undefined) return;
          const part = chunk.subarray(0, limit);
          written = Buffer.concat([written, part]);
          queue.wrote(part.length);
          if (part.length < chunk.length) queue.fail();
        };
        const wanted = Buffer.from(texts.map((text) => `${text}\n`).join(''));
        texts.forEach((text, index) => {
          queue.push(`${text}\n`);
          write(lengths[index % lengths.length] ?? 0);
        });
        while (queue.length > 0) write(Number.MAX_SAFE_INTEGER);
        assert.deepEqual(written, wanted);
      }),
    );
  });

  it('writes a line whole into a new file that is partly in the old one', () => {
    const queue = new LineQueue();
    queue.push('one\n');
    queue.push('two\n');
    queue.chunk();
    queue.wrote(6);
    queue.fail();
    queue.restart();
    assert.equal(queue.chunk()?.toString(), 'two\n');
  });

  it('takes a line back unless part of it is written', () => {
    const queue = new LineQueue();
    const [first, second] = [queue.push('one\n'), queue.push('two\n')];
    queue.chunk();
    assert.equal(queue.remove(second), false);
    queue.wrote(2);
    assert.equal(queue.fail(), 2);
    assert.equal(queue.remove(first), false);
    assert.equal(queue.remove(second), true);
    assert.equal(queue.chunk()?.toString(), 'e\n');
    queue.wrote(2);
    assert.deepEqual([first.state, queue.length], ['written', 0]);
  });

  it('tells those who wait what became of their line', async () => {
    const queue = new LineQueue();
    const [first, second] = [queue.push('one\n'), queue.push('two\n')];
    const outcome = Promise.all([first.settled(), second.settled()]);
    queue.chunk();
    queue.wrote(4);
    queue.fail();
    assert.deepEqual(await outcome, [true, false]);
    assert.equal(await second.settled(), false);
  });

  it('drops lines rather than use up memory', async () => {
    const queue = new LineQueue();
    const line = 'x'.repeat(1024 * 1024);
    for (let count = 0; count < 16; count += 1) assert.equal(queue.push(line).state, 'queued');
    const dropped = queue.push(line);
    assert.deepEqual([dropped.state, await dropped.settled()], ['dropped', false]);
    const chunk = queue.chunk();
    queue.wrote(chunk?.length ?? 0);
    assert.equal(queue.push(line).state, 'queued');
  });
});
