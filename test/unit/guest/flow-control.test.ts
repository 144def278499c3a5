import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ReceiveWindow, SendWindow, WINDOW_BYTES } from '../../../src/modules/guest/domain/flow-control';
import { OutputBuffer } from '../../../src/modules/guest/domain/output-buffer';
import { chunked } from '../../support/guest/chunks';

describe('receive window', () => {
  it('never starves an honest sender and gives back exactly what came', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 65_536 }), { maxLength: 60 }), (sizes) => {
        const window = new ReceiveWindow(Number.MAX_SAFE_INTEGER);
        let credit = WINDOW_BYTES;
        for (const size of sizes) {
          assert.ok(size <= credit, 'a full frame always fits');
          credit += window.receive(size) - size;
          assert.ok(credit <= WINDOW_BYTES);
        }
      }),
    );
  });

  it('refuses DATA past the limit of the request and after END', () => {
    const window = new ReceiveWindow(10);
    window.receive(10);
    assert.throws(() => window.receive(1), { name: 'ProtocolError', message: /more output/ });
    window.end();
    assert.throws(() => window.receive(0), { message: /after END/ });
    assert.throws(
      () => {
        window.end();
      },
      { message: /END twice/ },
    );
  });

  it('refuses DATA past the window', () => {
    const window = new ReceiveWindow(Number.MAX_SAFE_INTEGER);
    assert.throws(() => window.receive(WINDOW_BYTES + 1), {
      name: 'ProtocolError',
      message: /past the window/,
    });
  });
});

describe('send window', () => {
  it('sends no more than was granted, and everything in the end', () => {
    const data = Buffer.alloc(WINDOW_BYTES * 3 + 5, 'stdin');
    const window = new SendWindow(data);
    const sent: Buffer[] = [];
    let underWay = 0;
    while (sent.length === 0 || window.stalled) {
      if (window.stalled) {
        assert.equal(window.grant(1000), true);
        underWay -= 1000;
      }
      for (let piece = window.next(); piece !== undefined; piece = window.next()) {
        sent.push(piece);
        underWay += piece.length;
        assert.ok(underWay <= WINDOW_BYTES);
      }
    }
    assert.ok(window.done);
    assert.deepEqual(Buffer.concat(sent), data);
  });

  it('refuses credit for what was not sent', () => {
    const window = new SendWindow(Buffer.alloc(100));
    assert.throws(() => window.grant(1), { name: 'ProtocolError', message: /more than was sent/ });
    window.next();
    assert.throws(() => window.grant(101), { name: 'ProtocolError' });
    assert.equal(window.grant(100), false);
    assert.throws(() => window.grant(1), { name: 'ProtocolError' });
  });
});

describe('output buffer', () => {
  it('gives back what was appended, in order', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 5000 }),
        fc.array(fc.integer({ min: 1, max: 900 })),
        (array, cuts) => {
          const output = new OutputBuffer();
          for (const chunk of chunked(Buffer.from(array), cuts)) output.append(chunk);
          assert.deepEqual(output.take(), Buffer.from(array));
        },
      ),
    );
  });

  it('keeps no view of what it was given', () => {
    const output = new OutputBuffer();
    const chunk = Buffer.from('first');
    output.append(chunk);
    chunk.fill('x');
    assert.equal(output.take().toString(), 'first');
  });
});
