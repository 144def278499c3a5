import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ProtocolError } from '../../../src/modules/guest/domain/protocol-error';
import { GuestError } from '../../../src/modules/guest/guest-error';
import {
  JsonObject,
  readEvalResult,
  readExecStatus,
  readHello,
  readIdentity,
  readPing,
  readResponse,
} from '../../../src/modules/guest/guest-messages';
import { EXEC_DONE, HELLO, PONG } from '../../support/guest/fake-agent';

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const EVAL_DONE = { result: '2', error: null, stdout: '', stderr: '', exit_code: 0 };

describe('messages of the guest', () => {
  it('of any shape are read, or refused by a ProtocolError', () => {
    const readers: readonly ((value: JsonObject) => unknown)[] = [
      (value) => readHello(json(value)),
      (value) => readResponse(json(value)),
      readPing,
      readIdentity,
      readExecStatus,
      readEvalResult,
    ];
    const almost = fc
      .tuple(
        fc.constantFrom<JsonObject>(
          HELLO,
          { result: {} },
          PONG,
          { clock_step_ns: '1' },
          EXEC_DONE,
          EVAL_DONE,
        ),
        fc.dictionary(
          fc.constantFrom(
            'protocol',
            'agent',
            'runtimes',
            'result',
            'error',
            'exit_code',
            'signal',
            'stdout',
          ),
          fc.jsonValue(),
        ),
      )
      .map(([right, wrong]) => ({ ...right, ...wrong }));
    fc.assert(
      fc.property(almost, (value) => {
        for (const read of readers) {
          try {
            read(value);
          } catch (error) {
            assert.ok(error instanceof ProtocolError);
          }
        }
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        assert.throws(() => readHello(Buffer.from(bytes)), ProtocolError);
      }),
    );
  });

  it('HELLO keeps what it knows and ignores the rest', () => {
    assert.deepEqual(readHello(json({ ...HELLO, protocol: 3, new_member: {} })), { ...HELLO, protocol: 3 });
    assert.throws(() => readHello(json({ ...HELLO, protocol: 0 })), { message: /speaks version 0.*needs 1/ });
    for (const wrong of [
      { ...HELLO, protocol: '1' },
      { ...HELLO, protocol: 1.5 },
      { ...HELLO, agent: 'a\nb' },
      { ...HELLO, runtimes: 'python' },
      { ...HELLO, runtimes: [1] },
      { ...HELLO, capabilities: Array.from({ length: 1000 }, () => 'x') },
    ]) {
      assert.throws(() => readHello(json(wrong)), ProtocolError);
    }
  });

  it('RESPONSE is a result or a refusal, never both or neither', () => {
    assert.deepEqual(readResponse(json({ result: { a: 1 } })), { a: 1 });
    const refusal = readResponse(json({ error: { code: 'not_found', message: 'no such program: x' } }));
    assert.ok(refusal instanceof GuestError);
    assert.equal(refusal.code, 'not_found');
    assert.equal(refusal.message, 'no such program: x');
    for (const wrong of [
      {},
      { result: null },
      { result: [] },
      { result: {}, error: {} },
      { error: 'no' },
      [],
    ]) {
      assert.throws(() => readResponse(json(wrong)), ProtocolError);
    }
  });

  it('ping is handed on as it is, unless it is deep, wide or dressed as a prototype', () => {
    const rich = { ...PONG, extra: [{ a: null }, 1.5] };
    assert.equal(readPing(rich), rich);
    let deep: JsonObject = {};
    for (let depth = 0; depth < 10_000; depth += 1) deep = { deep };
    assert.throws(() => readPing(deep), { name: 'ProtocolError', message: /too large/ });
    assert.throws(() => readPing({ wide: Array.from({ length: 5000 }, () => 0) }), { message: /too large/ });
    assert.throws(() => readPing(JSON.parse('{"__proto__":{"admin":true}}') as JsonObject), ProtocolError);
  });

  it('exec and eval results must be in range', () => {
    assert.deepEqual(readExecStatus({ ...EXEC_DONE, exit_code: -9, signal: 'SIGKILL', more: 1 }), {
      exitCode: -9,
      signal: 'SIGKILL',
      timedOut: false,
      stdoutTruncated: false,
      stderrTruncated: false,
    });
    for (const wrong of [
      { exit_code: 256 },
      { exit_code: -65 },
      { exit_code: 0.5 },
      { timed_out: 0 },
      { signal: 9 },
    ]) {
      assert.throws(() => readExecStatus({ ...EXEC_DONE, ...wrong }), ProtocolError);
    }
    assert.deepEqual(readEvalResult({ ...EVAL_DONE, traceback: 'Traceback' }), {
      result: '2',
      error: null,
      traceback: 'Traceback',
      stdout: '',
      stderr: '',
      exitCode: 0,
    });
    for (const wrong of [{ exit_code: 2 }, { result: 2 }, { stdout: null }, { traceback: null }]) {
      assert.throws(() => readEvalResult({ ...EVAL_DONE, ...wrong }), ProtocolError);
    }
    assert.equal(readIdentity({ clock_step_ns: '-9007199254740993' }), -9007199254740993n);
    assert.throws(() => readIdentity({ clock_step_ns: 5 }), ProtocolError);
  });
});
