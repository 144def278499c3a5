import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SendQueue } from '../../../src/modules/guest/domain/send-queue';
import { MAGIC } from '../../../src/modules/guest/domain/sync';
import { ProtocolError } from '../../../src/modules/guest/domain/protocol-error';

const WINDOW = 262_144;

/** Takes all that may be sent now. */
function drain(queue: SendQueue): Buffer[] {
  const pieces: Buffer[] = [];
  for (let piece = queue.next(); piece !== undefined; piece = queue.next()) pieces.push(piece);
  return pieces;
}

describe('a queue of standard input', () => {
  it('gives what was pushed in order, small pieces joined, and is done after its end', () => {
    const queue = new SendQueue();
    for (const text of ['a', 'b', '', 'c']) queue.push(Buffer.from(text));
    assert.deepEqual(drain(queue).map(String), ['abc']);
    assert.equal(queue.done, false);
    queue.push(Buffer.from('d'));
    queue.end();
    assert.deepEqual([queue.done, queue.ready, queue.room], [false, true, 0]);
    assert.deepEqual(drain(queue).map(String), ['d']);
    assert.equal(queue.done, true);
  });

  it('takes a window, waiting or under way, and more as it is given back', () => {
    const queue = new SendQueue();
    queue.push(Buffer.alloc(WINDOW - 1));
    drain(queue);
    assert.equal(queue.room, 1);
    assert.throws(() => {
      queue.push(Buffer.alloc(2));
    }, RangeError);
    queue.push(Buffer.alloc(1));
    drain(queue);
    assert.deepEqual([queue.room, queue.ready], [0, false]);
    assert.equal(queue.grant(10), false, 'nothing waited');
    assert.equal(queue.room, 10);
    assert.throws(() => queue.grant(WINDOW), ProtocolError);
  });

  it('cuts pieces to what a frame holds, and never has the magic in one', () => {
    const queue = new SendQueue();
    const data = Buffer.concat([Buffer.alloc(70_000, 1), MAGIC, Buffer.alloc(10, 2)]);
    queue.push(data);
    const pieces = drain(queue);
    assert.deepEqual(Buffer.concat(pieces), data);
    assert.ok(pieces.every((piece) => piece.length <= 65_536 && !piece.includes(MAGIC)));
  });
});
