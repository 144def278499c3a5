import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { GuestError } from '../../../src/modules/guest/guest-error';
import { connected, LONG_MS, noAnswer } from '../../support/guest/connected';
import { EXEC_DONE, FakeRequest, PONG, Wire } from '../../support/guest/fake-agent';

describe('calls', () => {
  it('exec sends what was asked and returns what came', async () => {
    const { agent, guest } = await connected({
      onRequest: ({ agent, stream }) => {
        agent.output(stream, 1, 'out 1, ');
        agent.output(stream, 2, 'err');
        agent.output(stream, 1, 'out 2');
        agent.send(Wire.end, stream, '', 1);
        agent.send(Wire.end, stream, '', 2);
        agent.result(stream, { ...EXEC_DONE, exit_code: -15, signal: 'SIGTERM', stdout_truncated: true });
      },
    });
    const result = await agent.exec({
      args: ['prö', '-x'],
      env: { A: 'b' },
      cwd: '/tmp',
      user: 'nobody',
      timeoutMs: 1500,
      outputLimit: 100,
    });
    assert.deepEqual(result, {
      stdout: Buffer.from('out 1, out 2'),
      stderr: Buffer.from('err'),
      exitCode: -15,
      signal: 'SIGTERM',
      timedOut: false,
      stdoutTruncated: true,
      stderrTruncated: false,
    });
    const request = await guest.agent.frame((frame) => frame.type === Wire.request);
    assert.deepEqual(JSON.parse(request.payload.toString('latin1')), {
      method: 'exec',
      params: {
        args: ['prö', '-x'],
        env: { A: 'b' },
        cwd: '/tmp',
        user: 'nobody',
        timeout_ms: 1500,
        output_limit: 100,
      },
    });
    agent.close();
  });

  it('eval sends code and runtime and returns what came', async () => {
    const { agent, guest } = await connected({
      onRequest: ({ agent, stream }) => {
        agent.result(stream, {
          result: null,
          error: 'E: x',
          traceback: 'T',
          stdout: 'a',
          stderr: 'b',
          exit_code: 1,
        });
      },
    });
    assert.deepEqual(await agent.eval('raise E("x")', { timeoutMs: 10, runtime: 'python' }), {
      result: null,
      error: 'E: x',
      traceback: 'T',
      stdout: 'a',
      stderr: 'b',
      exitCode: 1,
    });
    const request = await guest.agent.frame((frame) => frame.type === Wire.request);
    assert.deepEqual(JSON.parse(request.payload.toString('latin1')), {
      method: 'eval',
      params: { code: 'raise E("x")', timeout_ms: 10, runtime: 'python' },
    });
    agent.close();
  });

  it('a refusal of the guest is a GuestError and leaves the connection as it was', async () => {
    const { agent, guest } = await connected();
    const refused = agent.exec({ args: ['nothing'], timeoutMs: 0 });
    await assert.rejects(refused, (error) => error instanceof GuestError && error.code === 'unknown_method');
    assert.deepEqual(await agent.ping(LONG_MS), PONG);
    assert.equal(guest.agents.length, 1);
    agent.close();
  });

  it('what no guest takes is refused before it is sent', async () => {
    const { agent, guest } = await connected();
    const invalid = { name: 'DomainError', code: 'invalid' };
    await assert.rejects(agent.exec({ args: [], timeoutMs: 1 }), invalid);
    await assert.rejects(agent.exec({ args: ['a'], timeoutMs: Number.NaN }), invalid);
    await assert.rejects(
      agent.exec({ args: ['a'], timeoutMs: 1, outputLimit: 16 * 1024 * 1024 + 1 }),
      invalid,
    );
    await assert.rejects(agent.exec({ args: ['a', 'x'.repeat(33_600_000)], timeoutMs: 1 }), {
      ...invalid,
      message: /336\d+ bytes.*at most 33554432 fit/,
    });
    await assert.rejects(agent.eval('ü'.repeat(6_000_000), { timeoutMs: 1 }), invalid);
    assert.deepEqual(guest.agent.frames, []);
    agent.close();
  });

  it('200 at once share one connection and get their own answers', async () => {
    const held: FakeRequest[] = [];
    const { agent, guest } = await connected({
      onRequest: (request) => {
        held.push(request);
        if (held.length < 200) return;
        for (const { agent: fake, stream } of held) fake.output(stream, 1, `${stream}:`);
        for (const { agent: fake, stream, params } of held.reverse()) {
          fake.output(stream, 1, (params['args'] as string[])[1] ?? '');
          fake.result(stream, { ...EXEC_DONE, exit_code: stream % 256 });
        }
      },
    });
    const calls = Array.from({ length: 200 }, (_, index) =>
      agent.exec({ args: ['echo', `call ${index}`], timeoutMs: LONG_MS }),
    );
    for (const [index, result] of (await Promise.all(calls)).entries()) {
      assert.equal(result.stdout.toString(), `${index + 1}:call ${index}`);
      assert.equal(result.exitCode, (index + 1) % 256);
    }
    assert.equal(guest.agents.length, 1);
    agent.close();
  });

  it('abort cancels in the guest, fails at once, and harms nobody else', async () => {
    const { agent, guest } = await connected({
      onRequest: ({ agent, stream, method }) => {
        if (method === 'ping') agent.result(stream, PONG);
      },
    });
    const controller = new AbortController();
    const call = agent.exec({ args: ['sleep', '1000'], timeoutMs: LONG_MS }, { signal: controller.signal });
    const request = await guest.agent.frame((frame) => frame.type === Wire.request);
    controller.abort(new Error('the client went away'));
    await assert.rejects(call, /the client went away/);
    const cancel = await guest.agent.frame((frame) => frame.type === Wire.cancel);
    assert.equal(cancel.stream, request.stream);
    guest.agent.output(request.stream, 1, 'last words');
    guest.agent.refuse(request.stream, 'cancelled', 'cancelled');
    assert.deepEqual(await agent.ping(LONG_MS), PONG);
    await assert.rejects(
      agent.exec({ args: ['a'], timeoutMs: 1 }, { signal: controller.signal }),
      /went away/,
    );
    agent.close();
  });

  it('leave nothing on a signal that outlives them, however they end', async () => {
    const { agent } = await connected({
      onRequest: ({ agent: fake, stream, params }) => {
        if (params['code'] === 'refuse') fake.refuse(stream, 'invalid', 'no');
        else if (params['code'] === 'break') fake.hello();
        else fake.result(stream, { result: null, error: null, stdout: '', stderr: '', exit_code: 0 });
      },
    });
    const { signal } = new AbortController();
    const call = (code: string): Promise<unknown> => agent.eval(code, { timeoutMs: LONG_MS, signal });
    await call('pass');
    await assert.rejects(call('refuse'), { name: 'GuestError' });
    await assert.rejects(call('break'), noAnswer(/second HELLO/));
    await call('connects again');
    assert.deepEqual(getEventListeners(signal, 'abort'), []);
    agent.close();
  });

  it('no answer 5 s after the time limit is an error, and the guest is told to give up', async (context) => {
    const { agent, guest } = await connected({ onRequest: () => undefined });
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const call = agent.exec({ args: ['stuck'], timeoutMs: 1000 });
    const other = agent.ping(LONG_MS);
    const request = await guest.agent.frame((frame) => frame.type === Wire.request);
    context.mock.timers.tick(5999);
    assert.ok(guest.agent.frames.every((frame) => frame.type !== Wire.cancel));
    context.mock.timers.tick(1);
    await assert.rejects(call, noAnswer(/no answer to exec within 6000 ms/));
    const cancel = await guest.agent.frame((frame) => frame.type === Wire.cancel);
    assert.equal(cancel.stream, request.stream);
    guest.agent.result(request.stream + 1, PONG);
    assert.deepEqual(await other, PONG);
    agent.close();
  });
});
