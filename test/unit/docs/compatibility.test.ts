import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = resolve(__dirname, '..', '..', '..', '..');

describe('docs/compatibility.md', () => {
  it('names tests that exist, for every row', () => {
    const rows = readFileSync(join(ROOT, 'docs', 'compatibility.md'), 'utf8')
      .split('\n')
      .filter((line) => /^\| \d/.test(line));
    assert.ok(rows.length > 20);
    for (const row of rows) {
      const tests = [...row.matchAll(/`((?:unit|contract|e2e|faults|clients)\/[^`]+)`/g)];
      assert.ok(tests.length > 0, `no test is named: ${row}`);
      for (const [, path = ''] of tests)
        assert.ok(existsSync(join(ROOT, 'test', path)), `${path} does not exist`);
    }
  });
});
