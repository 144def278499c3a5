import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  ANSWER_MAGIC,
  AnswerScanner,
  encodeSync,
  MAGIC,
  MAX_STALE_BYTES,
  pieceEnd,
} from '../../../src/modules/guest/domain/sync';
import { chunked } from '../../support/guest/chunks';
import { wireFrame } from '../../support/guest/fake-agent';

const NONCE = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
const ANSWER = Buffer.concat([ANSWER_MAGIC, NONCE]);

/** What comes behind the answer, as the scanner finds it in chunked bytes. */
function behindAnswer(chunks: readonly Buffer[]): Buffer | undefined {
  const scanner = new AnswerScanner(NONCE);
  for (const [index, chunk] of chunks.entries()) {
    const start = scanner.scan(chunk);
    if (start >= 0) return Buffer.concat([chunk.subarray(start), ...chunks.slice(index + 1)]);
  }
  return undefined;
}

describe('SYNC', () => {
  it('is the magic and the nonce', () => {
    assert.equal(
      encodeSync(NONCE).toString('hex'),
      'f78ba1d59ec3e6fb91ad88b2f59cd7ea' + NONCE.toString('hex'),
    );
  });

  it('finds the answer behind stale bytes cut at any position', () => {
    const stale = Buffer.concat([
      wireFrame(4, 1, Buffer.alloc(50, 'x'), 1),
      ANSWER_MAGIC,
      Buffer.alloc(16, 7),
      ANSWER.subarray(0, 31),
    ]);
    const frames = wireFrame(1, 0, '{"protocol":1}');
    for (let from = 0; from <= stale.length; from += 1) {
      const wire = Buffer.concat([stale.subarray(from), ANSWER, frames]);
      for (let cut = 0; cut <= wire.length; cut += 1) {
        const found = behindAnswer([wire.subarray(0, cut), wire.subarray(cut)]);
        assert.deepEqual(found, frames, `stale from ${from}, cut at ${cut}`);
      }
    }
  });

  it('finds the answer at any chunking', () => {
    const partOfAnswer = fc.nat(32).map((length) => ANSWER.subarray(0, length));
    const noise = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
    fc.assert(
      fc.property(
        fc.array(fc.oneof(partOfAnswer, noise), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 40 })),
        (stale, cuts) => {
          const before = Buffer.concat(stale);
          const wire = Buffer.concat([before, ANSWER, Buffer.from('frames')]);
          const first = wire.indexOf(ANSWER) + ANSWER.length;
          assert.deepEqual(behindAnswer(chunked(wire, cuts)), wire.subarray(first));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('takes no answer to another nonce, and gives up on a guest that never stops', () => {
    const scanner = new AnswerScanner(NONCE);
    assert.equal(scanner.scan(Buffer.concat([ANSWER_MAGIC, Buffer.alloc(16, 1)])), -1);
    const junk = Buffer.alloc(1024 * 1024, 0xe9);
    assert.throws(
      () => {
        for (let sent = 0; sent <= MAX_STALE_BYTES; sent += junk.length) scanner.scan(junk);
      },
      { name: 'ProtocolError', message: /no answer to SYNC/ },
    );
  });
});

describe('DATA to the guest', () => {
  it('never has the magic within one payload', () => {
    const part = fc.oneof(
      fc.constant(MAGIC),
      fc.nat(16).map((length) => MAGIC.subarray(length)),
      fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array)),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), fc.integer({ min: 1, max: 70 }), (parts, limit) => {
        const data = Buffer.concat(parts);
        const pieces: Buffer[] = [];
        for (let start = 0; start < data.length;) {
          const end = pieceEnd(data, start, limit);
          assert.ok(end > start && end - start <= limit);
          pieces.push(data.subarray(start, end));
          start = end;
        }
        assert.ok(pieces.every((piece) => !piece.includes(MAGIC)));
        assert.deepEqual(Buffer.concat(pieces), data);
      }),
      { numRuns: 500 },
    );
  });
});
