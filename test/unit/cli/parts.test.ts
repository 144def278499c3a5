import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { age, bytes, duration } from '../../../src/modules/cli/output/format';
import { renderTable, type Column } from '../../../src/modules/cli/output/table';
import { quickstartLayout } from '../../../src/modules/cli/quickstart/layout';
import { didYouMean, editDistance, suggest } from '../../../src/modules/cli/suggest';

interface Row {
  readonly id: string;
  readonly note: string;
  readonly extra: string;
}

const columns: Column<Row>[] = [
  { title: 'ID', cell: (row) => row.id },
  { title: 'NOTE', cell: (row) => row.note, minWidth: 6 },
  { title: 'EXTRA', cell: (row) => row.extra, optional: true },
];
const rows: Row[] = [{ id: 'sb-6657e0c0-0000', note: 'a long remark on it', extra: 'more' }];

describe('tables', () => {
  it('take the room they need when nobody limits it', () => {
    assert.equal(
      renderTable(columns, rows),
      'ID                NOTE                 EXTRA\nsb-6657e0c0-0000  a long remark on it  more\n',
    );
  });

  it('cut, then drop, columns to fit, but never an id', () => {
    assert.equal(
      renderTable(columns, rows, 34),
      'ID                NOTE       EXTRA\nsb-6657e0c0-0000  a long r…  more\n',
    );
    const narrow = renderTable(columns, rows, 26);
    assert.equal(narrow, 'ID                NOTE\nsb-6657e0c0-0000  a long …\n');
    assert.ok(renderTable(columns, rows, 10).includes('sb-6657e0c0-0000'));
  });

  it('never exceed a terminal that has room for what may not be cut', () => {
    for (let width = 24; width < 60; width += 1) {
      for (const line of renderTable(columns, rows, width).split('\n')) assert.ok(line.length <= width);
    }
  });
});

describe('suggestions', () => {
  it('count edits, swapped neighbours as one', () => {
    assert.equal(editDistance('pyhton', 'python'), 1);
    assert.equal(editDistance('', 'abc'), 3);
    assert.equal(editDistance('kitten', 'sitting'), 3);
  });

  it('offer near words and beginnings only', () => {
    assert.deepEqual(suggest('pyhton', ['python', 'numpy', 'node']), ['python']);
    assert.deepEqual(suggest('py', ['python-3', 'node']), ['python-3']);
    assert.equal(didYouMean('zzzz', ['python']), undefined);
    assert.equal(didYouMean('lss', ['ls', 'lsx']), 'Did you mean ls or lsx?');
  });
});

describe('figures for people', () => {
  it('have the unit that fits', () => {
    assert.deepEqual(
      [bytes(0), bytes(1023), bytes(1536), bytes(268_435_456)],
      ['0 B', '1023 B', '1.5 KiB', '256.0 MiB'],
    );
    assert.deepEqual([duration(12.4), duration(3400), duration(125_000)], ['12 ms', '3.4 s', '2 min 5 s']);
    assert.deepEqual([age(100, 142), age(0, 7200), age(200, 100)], ['42s', '2h', '0s']);
  });
});

describe("the quickstart's files", () => {
  it("are in the user's data directory", () => {
    const layout = quickstartLayout({ XDG_DATA_HOME: '/data' }, 1000);
    assert.equal(layout.runDir, '/data/forkd/quickstart/run');
    assert.equal(layout.snapshotRoot, '/data/forkd/snapshots');
    assert.equal(layout.imageRoot, '/data/forkd/images');
  });

  it('leave room for the names of sockets', () => {
    const layout = quickstartLayout({ XDG_DATA_HOME: `/home/${'x'.repeat(60)}` }, 1000);
    assert.equal(layout.runDir, '/tmp/forkd-quickstart-1000');
  });
});
