import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CleanupStack } from '../../../src/common/lifecycle/cleanup-stack';
import { Limiter } from '../../../src/common/lifecycle/limiter';

describe('Limiter', () => {
  it('runs no more than its limit at once, in order, and survives failures', async () => {
    const limiter = new Limiter(2);
    let running = 0;
    let most = 0;
    const order: number[] = [];
    const results = await Promise.allSettled(
      [0, 1, 2, 3, 4, 5].map((task) =>
        limiter.run(async () => {
          order.push(task);
          most = Math.max(most, ++running);
          await new Promise(setImmediate);
          running--;
          if (task === 1) throw new Error('one fails');
          return task;
        }),
      ),
    );
    assert.equal(most, 2);
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5]);
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 5);
  });
});

describe('CleanupStack', () => {
  it('gives back the last taken first, and goes on after a failure', async () => {
    const stack = new CleanupStack();
    const order: number[] = [];
    const errors: unknown[] = [];
    for (const each of [1, 2, 3]) {
      stack.push(() => {
        order.push(each);
        return each === 2 ? Promise.reject(new Error('two')) : Promise.resolve();
      });
    }
    await stack.run((error) => errors.push(error));
    assert.deepEqual(order, [3, 2, 1]);
    assert.equal(errors.length, 1);
    await stack.run(() => assert.fail('ran twice'));
  });
});
