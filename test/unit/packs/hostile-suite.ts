import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { TestApp } from '../../support/app';
import { membersOf, PackLab } from '../../support/packs';
import type { Craft, HostilePack } from './spoilt-packs';

/** What a stranger may send in place of a pack: each is refused with its reason, writes nothing outside, leaves nothing. */
export function hostileSuite(title: string, packs: readonly HostilePack[]): void {
  describe(`a pack ${title}`, () => {
    let lab: PackLab;
    let craft: Craft;
    let untouched: string[];

    before(async () => {
      const maker = new PackLab(await TestApp.start());
      try {
        await maker.snapshot('py', [0, 7, 300, 16_000]);
        await maker.snapshot('c1', [7, 8], 'py');
        await maker.snapshot('c2', [9], 'c1');
        const flat = (await maker.pack('py')).body;
        const chained = (await maker.pack('c2')).body;
        craft = { flat, flatMembers: await membersOf(flat), chainedMembers: await membersOf(chained) };
      } finally {
        await maker.close();
        await maker.app.close();
      }
      lab = new PackLab(await TestApp.start({ settings: { unpackLimitMib: 64 } }));
      await lab.request('GET', '/v1/snapshots');
      untouched = await lab.everything();
    });
    after(async () => {
      await lab.close();
      await lab.app.close();
    });

    const children = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const name of await readdir('/proc')) {
        const status = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
        const [, command = '', parent] = /^\d+ \((.*)\) \S (\d+)/.exec(status) ?? [];
        if (Number(parent) === process.pid) found.push(command);
      }
      return found;
    };

    async function refused({ make, error, status = 400 }: HostilePack): Promise<void> {
      const sent = await lab.unpack(await make(craft));
      const text = sent.body.toString();
      assert.equal(sent.status, status, text);
      assert.match((JSON.parse(text) as { error: string }).error, error);
      assert.ok(text.length < 600, text);
      assert.deepEqual(await lab.everything(), untouched);
      assert.deepEqual(await children(), []);
    }

    for (const pack of packs) {
      it(pack.name, () => refused(pack));
    }

    it('changes nothing for a good one, which is taken afterwards', async () => {
      assert.equal((await lab.unpack(craft.flat)).status, 201);
    });
  });
}
