import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RouteTable } from '../../../src/common/http/route-table';

const handler = (): void => undefined;

describe('RouteTable', () => {
  const table = new RouteTable();
  table.add({ method: ['GET', 'HEAD'], url: '/a/:id', handler });
  table.add({ method: 'DELETE', url: '/a/:id', handler });
  table.add({ method: 'POST', url: '/a/:id/x', handler });

  it('knows the methods of a path', () => {
    assert.deepEqual(table.methodsAt('/a/1'), ['DELETE', 'GET', 'HEAD']);
    assert.deepEqual(table.methodsAt('/%61/b%2Fc/x'), ['POST']);
  });

  it('knows no methods of other paths', () => {
    for (const path of ['/a', '/a/', '/a//x', '/a/1/', '/A/1', '/a/%zz', '']) {
      assert.deepEqual(table.methodsAt(path), [], path);
    }
  });
});
