import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = resolve(__dirname, '..', '..', '..', '..');

describe('docs/promises.md', () => {
  it('names tests that exist, for every promise', () => {
    const text = readFileSync(join(ROOT, 'docs', 'promises.md'), 'utf8');
    const promises =
      text
        .split('## Figures')[0]
        ?.split('\n')
        .filter((line) => /^\| (?!-|promise )/.test(line)) ?? [];
    assert.ok(promises.length > 30);
    for (const row of promises) {
      const tests = [...row.matchAll(/`((?:unit|contract|e2e|faults|clients|guest|host)\/[^`]+)`/g)].map(
        ([, path]) => path ?? '',
      );
      assert.ok(tests.length > 0, `no test is named: ${row}`);
      for (const path of tests) {
        const found = [join(ROOT, 'test', path), join(ROOT, path)].some((candidate) => existsSync(candidate));
        assert.ok(found, `${path} does not exist`);
      }
    }
  });
});
