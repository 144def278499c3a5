import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { scanMembers } from '../../../src/common/http/json-scan';

describe('scanMembers', () => {
  it('counts names as JSON means them, on the outermost level only', () => {
    const members = scanMembers(' {"a" : {"a":1,"b":[{"c":"}"}]} , "\\u0061":"\\"}", "b":[ ] }');
    assert.deepEqual(
      [...members].map(([name, { count }]) => [name, count]),
      [
        ['a', 2],
        ['b', 1],
      ],
    );
  });

  it('keeps numbers as they are written', () => {
    const members = scanMembers('{"a":1.0,"b":-0 ,"c":12e3,"d":"1","e":[1]}');
    assert.deepEqual(
      [...members.values()].map(({ lexeme }) => lexeme),
      ['1.0', '-0', '12e3', undefined, undefined],
    );
  });

  it('finds nothing in what is no object', () => {
    for (const text of ['[{"a":1}]', '"{}"', 'null', '1']) assert.equal(scanMembers(text).size, 0);
  });

  it('finds the members of every object, however it is written', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.constantFrom(0, 1, '\t'),
        (object, indent) => {
          const members = scanMembers(JSON.stringify(object, null, indent));
          assert.deepEqual(new Set(members.keys()), new Set(Object.keys(object)));
          for (const { count } of members.values()) assert.equal(count, 1);
        },
      ),
    );
  });
});
