import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { downloadArgument, parsePrintUris } from '../../../src/modules/images/domain/apt-output';
import {
  componentDigest,
  parseImageRecord,
  parseManifest,
} from '../../../src/modules/images/domain/manifest';
import { digestOf, recipeOf } from '../../../src/modules/images/domain/recipes';
import { missingToolMessage } from '../../../src/modules/images/domain/tools';

describe('recipes', () => {
  it('are found by name, and the error names all of them', () => {
    assert.equal(recipeOf('python').runtimes[0]?.name, 'python');
    assert.ok(recipeOf('numpy').packages.includes('python3-numpy'));
    assert.throws(() => recipeOf('ruby'), /"ruby"; there are: python, numpy/);
  });

  it('have a digest that depends on content and not on the order of keys', () => {
    assert.equal(digestOf({ a: 1, b: { c: 2, d: [3] } }), digestOf({ b: { d: [3], c: 2 }, a: 1 }));
    assert.notEqual(digestOf({ a: [1, 2] }), digestOf({ a: [2, 1] }));
    assert.notEqual(digestOf(recipeOf('python')), digestOf(recipeOf('numpy')));
    assert.match(digestOf({}), /^[0-9a-f]{64}$/);
  });
});

describe('component digest', () => {
  it('depends on names and content, not on order, size or time', () => {
    const a = { path: 'a', sizeBytes: 1, sha256: '11' };
    const b = { path: 'b', sizeBytes: 1, sha256: '22' };
    assert.equal(componentDigest([a, b]), componentDigest([b, a]));
    assert.notEqual(componentDigest([a]), componentDigest([{ ...a, path: 'c' }]));
    assert.notEqual(componentDigest([a]), componentDigest([{ ...a, sha256: '33' }]));
  });
});

describe('manifests', () => {
  it('that cannot be understood say which and what to do', () => {
    assert.throws(() => parseManifest('{', 'm.json'), /m\.json cannot be read.*build the image again/);
    assert.throws(() => parseManifest('[]', 'm.json'), /cannot be read/);
    assert.throws(() => parseManifest('{"formatVersion":1}', 'm.json'), /cannot be read/);
    assert.throws(
      () => parseImageRecord('{"formatVersion":99}', 'r.json'),
      /format version 99, this release reads 1/,
    );
    assert.throws(() => parseImageRecord('{"formatVersion":1,"name":"x"}', 'r.json'), /cannot be read/);
  });
});

describe('output of apt', () => {
  const OUTPUT = [
    'Reading package lists...',
    "'http://mirror/pool/libattr1_2.5.1-4_amd64.deb' libattr1_1%3a2.5.1-4_amd64.deb 22164 MD5Sum:52fe",
    "'http://mirror/pool/dash_0.5.12-2_amd64.deb' dash_0.5.12-2_amd64.deb 91848 ",
    '',
  ].join('\n');

  it('gives names and versions, sorted by name', () => {
    assert.deepEqual(parsePrintUris(OUTPUT), [
      { name: 'dash', version: '0.5.12-2', fileName: 'dash_0.5.12-2_amd64.deb', sizeBytes: 91848 },
      {
        name: 'libattr1',
        version: '1:2.5.1-4',
        fileName: 'libattr1_1%3a2.5.1-4_amd64.deb',
        sizeBytes: 22164,
      },
    ]);
  });

  it('leads back to exactly these versions', () => {
    assert.deepEqual(parsePrintUris(OUTPUT).map(downloadArgument), ['dash=0.5.12-2', 'libattr1=1:2.5.1-4']);
  });
});

describe('missing tool', () => {
  it('is named with the package that brings it', () => {
    assert.equal(
      missingToolMessage('mke2fs'),
      'mke2fs was not found on this machine; install it with `apt-get install e2fsprogs`',
    );
    assert.equal(missingToolMessage('constructor'), 'constructor was not found on this machine');
  });
});
