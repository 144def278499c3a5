import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  encodeHeader,
  encodeJsonMessage,
  encodeWindow,
  Frame,
  FrameDecoder,
  FrameType,
  MAX_PAYLOAD_BYTES,
  toAsciiJson,
} from '../../../src/modules/guest/domain/frame';
import { ProtocolError } from '../../../src/modules/guest/domain/protocol-error';
import { chunked } from '../../support/guest/chunks';
import { wireFrame } from '../../support/guest/fake-agent';

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

const anyFrame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record(
    {
      type: fc.constantFrom(FrameType.hello, FrameType.request, FrameType.response),
      channel: fc.constant(0 as const),
      stream: fc.integer({ min: 0, max: 0x7fffffff }),
      payload: bytes(300),
    },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      type: fc.constant(FrameType.data),
      channel: fc.constantFrom(0 as const, 1 as const, 2 as const),
      stream: fc.integer({ min: 0, max: 0x7fffffff }),
      payload: bytes(300),
    },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      type: fc.constantFrom(FrameType.end),
      channel: fc.constantFrom(0 as const, 1 as const, 2 as const),
      stream: fc.integer({ min: 0, max: 0x7fffffff }),
      payload: fc.constant(Buffer.alloc(0)),
    },
    { noNullPrototype: true },
  ),
);

function decodeAll(chunks: readonly Buffer[]): Frame[] {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      frames.push({ ...frame, payload: Buffer.from(frame.payload) });
    }
  }
  return frames;
}

function decodeOne(frame: Buffer): Frame | undefined {
  return decodeAll([frame])[0];
}

describe('frames', () => {
  it('are encoded as the page lays them out', () => {
    assert.equal(
      encodeHeader(FrameType.data, 2, 0x01020304, 0xabcd).toString('hex'),
      '0000abcd0402010203040000',
    );
    assert.equal(encodeWindow(7, 1, 262_144).toString('hex'), '00000004050100000007000000040000');
    assert.equal(
      encodeJsonMessage(FrameType.request, 1, '{}').toString('hex'),
      '000000020200000000010000' + '7b7d',
    );
  });

  it('carry a long message in parts, the last in a frame of its own type', () => {
    for (const length of [65_535, 65_536, 65_537, 131_072, 200_000]) {
      const text = 'x'.repeat(length);
      const frames = decodeAll([encodeJsonMessage(FrameType.request, 7, text)]);
      assert.deepEqual(
        frames.map(({ type }) => type),
        [...Array<number>(frames.length - 1).fill(FrameType.part), FrameType.request],
      );
      assert.ok(frames.every(({ stream }) => stream === 7));
      assert.equal(Buffer.concat(frames.map(({ payload }) => payload)).toString('latin1'), text);
    }
    assert.throws(() => encodeJsonMessage(FrameType.request, 1, 'x'.repeat(33_554_433)), RangeError);
  });

  it('survive any chunking', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 90 })),
        (frames, cuts) => {
          const wire = frames.map((frame) =>
            Buffer.concat([
              encodeHeader(frame.type, frame.channel, frame.stream, frame.payload.length),
              frame.payload,
            ]),
          );
          assert.deepEqual(decodeAll(chunked(Buffer.concat(wire), cuts)), frames);
        },
      ),
    );
  });

  it('are whole at the largest payload, cut anywhere', () => {
    const payload = Buffer.alloc(MAX_PAYLOAD_BYTES, 'ab');
    const wire = wireFrame(FrameType.data, 3, payload, 1);
    for (const cut of [1, 4, 11, 12, 13, 40_000, wire.length - 1]) {
      const [frame, more] = decodeAll([wire.subarray(0, cut), wire.subarray(cut)]);
      assert.deepEqual(frame?.payload, payload);
      assert.equal(more, undefined);
    }
  });

  it('of any bytes whatever end in frames or a ProtocolError, the same at any chunking', () => {
    const outcome = (chunks: readonly Buffer[]): { frames: Frame[]; error?: string } => {
      const decoder = new FrameDecoder();
      const frames: Frame[] = [];
      try {
        for (const chunk of chunks) {
          decoder.push(chunk);
          for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
        }
        return { frames };
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
        assert.throws(() => decoder.next(), ProtocolError);
        return { frames, error: error.message };
      }
    };
    // Mostly zero bytes, so that headers are often right and the interesting places are reached.
    const noise = fc.array(
      fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 8 })),
      {
        maxLength: 200,
      },
    );
    fc.assert(
      fc.property(noise, fc.array(fc.integer({ min: 1, max: 30 })), (noisy, cuts) => {
        const wire = Buffer.from(noisy);
        assert.deepEqual(outcome(chunked(wire, cuts)), outcome([wire]));
      }),
      { numRuns: 500 },
    );
  });

  it('are not read past their end', () => {
    const wire = Buffer.concat([wireFrame(FrameType.data, 1, 'abc', 1), Buffer.from('ff', 'hex')]);
    const decoder = new FrameDecoder();
    decoder.push(wire);
    assert.equal(decoder.next()?.payload.toString(), 'abc');
    assert.equal(decoder.next(), undefined, 'a lone byte is no header, however wrong it looks');
  });

  it('with a wrong header are refused before their payload is waited for', () => {
    const header = (change: (header: Buffer) => void): Buffer => {
      const frame = wireFrame(FrameType.data, 1, '', 1);
      change(frame);
      return frame;
    };
    const wrong: readonly [RegExp, Buffer][] = [
      [/unknown type 0/, wireFrame(0, 1)],
      [/unknown type 11/, wireFrame(11, 1)],
      [/0 bytes in a frame of type 9, which has 4/, wireFrame(9, 1)],
      [/0 bytes in a frame of type 10, which has 4/, wireFrame(10, 1)],
      [/65537 bytes/, header((frame) => frame.writeUInt32BE(65_537, 0))],
      [/4294967295 bytes/, header((frame) => frame.writeUInt32BE(0xffffffff, 0))],
      [/reserved/, header((frame) => frame.writeUInt16BE(1, 10))],
      [/stream number/, wireFrame(FrameType.data, 0x80000000)],
      [/channel 3/, wireFrame(FrameType.data, 1, '', 3)],
      [/channel 1/, wireFrame(FrameType.response, 1, '{}', 1)],
      [/WINDOW|3 bytes/, wireFrame(FrameType.window, 1, 'abc')],
      [/1 bytes/, wireFrame(FrameType.end, 1, 'a')],
    ];
    for (const [reason, wire] of wrong) {
      assert.throws(() => decodeOne(wire.subarray(0, 12)), { name: 'ProtocolError', message: reason });
    }
  });
});

describe('JSON for the guest', () => {
  it('is ASCII and means the same', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' })), (value) => {
        const text = toAsciiJson(value);
        assert.equal(Buffer.byteLength(text, 'utf8'), text.length, 'one byte per character is ASCII');
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      }),
    );
    assert.equal(toAsciiJson({ a: 'ü€𝄞' }), '{"a":"\\u00fc\\u20ac\\ud834\\udd1e"}');
  });
});
