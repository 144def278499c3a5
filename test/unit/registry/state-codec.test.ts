import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatState, parseState } from '../../../src/modules/registry/domain/state-codec';

const SANDBOX = {
  id: 'sb-1',
  snapshot_tag: 'py',
  netns: null,
  guest_addr: '10.42.0.2:8888',
  created_at_unix: 5,
};

describe('parseState', () => {
  it('takes absent maps as empty', () => {
    const state = parseState('{"sandboxes":{}}');
    assert.deepEqual([state.snapshots.size, state.sandboxes.size, state.workspaces.size], [0, 0, 0]);
  });

  it('gives old records their defaults', () => {
    const state = parseState(
      JSON.stringify({
        snapshots: { py: { tag: 'py', dir: '/s/py', created_at_unix: 1 } },
        sandboxes: { 'sb-1': { ...SANDBOX, pid: 7, memory_limit_mib: null } },
      }),
    );
    assert.deepEqual(state.snapshots.get('py'), {
      tag: 'py',
      dir: '/s/py',
      created_at_unix: 1,
      status: 'ready',
      bootable: true,
    });
    assert.deepEqual(state.sandboxes.get('sb-1'), {
      ...SANDBOX,
      pid: 7,
      memory_limit_mib: null,
      has_branched: false,
      last_branch_memory_path: null,
      branch_count: 0,
    });
  });

  it('keeps members that it does not know', () => {
    const state = parseState(JSON.stringify({ sandboxes: { 'sb-1': { ...SANDBOX, from_the_future: [1] } } }));
    assert.match(formatState(state), /"from_the_future":\[1\]/);
  });

  it('keeps what stands beside the maps, as a newer version may have put it there', () => {
    const state = parseState('{"version":1,"networks":{"a":[1]},"sandboxes":{}}');
    assert.deepEqual(JSON.parse(formatState(state)), {
      version: 1,
      networks: { a: [1] },
      snapshots: {},
      sandboxes: {},
      workspaces: {},
    });
  });

  it('refuses a file that is another, and a format of a newer version', () => {
    assert.throws(() => parseState('{"name":"forkd-controller"}'), /none of snapshots, sandboxes/);
    assert.throws(() => parseState('{"version":2,"sandboxes":{}}'), /its version is 2, which this version/);
    assert.equal(parseState('{}').sandboxes.size, 0);
  });

  it('says what is wrong where', () => {
    const cases: [text: string, error: RegExp][] = [
      ['', /not JSON/],
      ['{"snapshots":', /not JSON/],
      ['[]', /object/],
      ['{"snapshots":[]}', /snapshots must be an object/],
      ['{"snapshots":{"a":1}}', /snapshots\.a must be an object/],
      [
        '{"snapshots":{"a":{"tag":"a","dir":"/","created_at_unix":"1"}}}',
        /snapshots\.a\.created_at_unix must be an unsigned/,
      ],
      [
        '{"snapshots":{"a":{"tag":"a","dir":"/","created_at_unix":1,"status":"odd"}}}',
        /status must be writing, ready or failed/,
      ],
      ['{"workspaces":{"w":{"id":"w"}}}', /workspaces\.w\.name must be a string/],
      [
        JSON.stringify({ sandboxes: { s: { ...SANDBOX, pid: -1 } } }),
        /sandboxes\.s\.pid must be an unsigned integer or null/,
      ],
    ];
    for (const [text, error] of cases) assert.throws(() => parseState(text), error);
  });
});

describe('formatState', () => {
  it('orders keys and gives each record a line', () => {
    const state = parseState(
      JSON.stringify({
        sandboxes: { b: { ...SANDBOX, id: 'b' }, B: { ...SANDBOX, id: 'B' }, a: { ...SANDBOX, id: 'a' } },
      }),
    );
    const text = formatState(state);
    assert.deepEqual(text.match(/^ {4}"\w"(?=: \{"id")/gm), ['    "B"', '    "a"', '    "b"']);
    assert.deepEqual(Object.keys(JSON.parse(text) as object), ['snapshots', 'sandboxes', 'workspaces']);
  });

  it('reads back as it was', () => {
    const state = parseState(JSON.stringify({ sandboxes: { 'sb-1': SANDBOX } }));
    assert.deepEqual(parseState(formatState(state)), state);
  });
});
