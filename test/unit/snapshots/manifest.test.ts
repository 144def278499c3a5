import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { incompatibility, type HostOffer } from '../../../src/modules/snapshots/domain/compatibility';
import { parseManifest } from '../../../src/modules/snapshots/domain/manifest';
import { sampleManifest } from '../../support/manifest';

function problemOf(value: unknown): string {
  const parsed = parseManifest(typeof value === 'string' ? value : JSON.stringify(value));
  assert.ok('problem' in parsed, 'accepted');
  return parsed.problem;
}

describe('snapshot.json', () => {
  it('reads its own format', () => {
    const parsed = parseManifest(JSON.stringify(sampleManifest()));
    assert.ok('names' in parsed && parsed.manifest);
    assert.equal(parsed.manifest.guest.mem_size_mib, 64);
  });

  it('reads the artifact names and the parent of a file of upstream’s', () => {
    const parsed = parseManifest('{"vmstate":"/a/vmstate","memory":"/a/diff.bin","parent_tag":"base"}');
    assert.deepEqual(parsed, { names: { vmstate: '/a/vmstate', memory: '/a/diff.bin', parentTag: 'base' } });
  });

  it('says what is wrong with a corrupt one', () => {
    assert.match(problemOf('{"vmstate":'), /JSON/);
    assert.match(problemOf('[]'), /not a JSON object/);
    assert.match(problemOf({ memory: 'memory.bin' }), /missing field `vmstate`/);
    assert.match(problemOf({ ...sampleManifest(), format: 2 }), /format 2 is not known/);
    assert.match(problemOf({ ...sampleManifest(), memory_digest: 'x' }), /memory_digest/);
    assert.match(problemOf({ ...sampleManifest(), guest: {} }), /guest\.arch/);
    assert.match(problemOf({ ...sampleManifest(), engine: undefined }), /engine/);
  });

  it('takes no path out of the snapshot’s directory', () => {
    for (const name of ['../x', '/etc/passwd', 'a/b', '.', '..', '']) {
      for (const member of ['vmstate', 'memory', 'rootfs']) {
        assert.match(problemOf({ ...sampleManifest(), [member]: name }), new RegExp(member));
      }
    }
  });
});

describe('compatibility with this host', () => {
  const host: HostOffer = {
    engine: 'qemu',
    version: '7.2.9',
    accelerator: 'tcg',
    machine: 'microvm',
    cpu: 'max',
    arch: process.arch,
  };

  it('accepts the same release line', () => {
    assert.equal(incompatibility(sampleManifest(), host), undefined);
  });

  it('names both sides and the next step', () => {
    const cases: [Partial<HostOffer>, RegExp][] = [
      [{ version: '8.0.1' }, /qemu version 7\.2\.22, and this host has 8\.0\.1; make the snapshot again/],
      [{ engine: 'firecracker' }, /engine qemu, and this host has firecracker/],
      [{ accelerator: 'kvm' }, /accelerator tcg, and this host has kvm/],
      [{ arch: 'arm64' }, /CPU architecture x64, and this host has arm64/],
      [{ cpu: 'host' }, /CPU model max, and this host has host/],
    ];
    for (const [change, text] of cases) {
      assert.match(incompatibility(sampleManifest(), { ...host, ...change }) ?? '', text);
    }
  });
});
