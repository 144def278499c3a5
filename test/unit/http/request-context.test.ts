import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { currentRequestId, runInRequest } from '../../../src/common/http/request-context';
import { logOptions } from '../../../src/common/logging/daemon-logger';

function logged(act: (logger: pino.Logger) => void | Promise<void>): Promise<Record<string, unknown>[]> {
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  return Promise.resolve(act(pino(logOptions('info'), stream))).then(() => lines);
}

describe('a log line', () => {
  it('has the id of the request it belongs to, also after a wait', async () => {
    const lines = await logged(async (logger) => {
      logger.info('outside');
      await new Promise<void>((resolve) => {
        runInRequest('r-1', () => {
          void sleep(1).then(() => {
            logger.info('inside');
            resolve();
          });
        });
      });
    });
    assert.deepEqual(
      lines.map(({ request_id: id }) => id),
      [undefined, 'r-1'],
    );
    assert.equal(currentRequestId(), undefined);
  });

  it('names its level and hides credentials', async () => {
    const [line] = await logged((logger) => {
      logger.warn({ req: { headers: { authorization: 'Bearer secret', cookie: 'secret' } } }, 'x');
    });
    assert.equal(line?.level, 'warn');
    assert.ok(!JSON.stringify(line).includes('secret'));
  });
});
