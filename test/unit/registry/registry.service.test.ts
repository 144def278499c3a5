import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RegistryState, SandboxRecord } from '../../../src/modules/registry/domain/records';
import { parseState } from '../../../src/modules/registry/domain/state-codec';
import { StateFile } from '../../../src/modules/registry/ports/state-file';
import { RegistryService } from '../../../src/modules/registry/registry.service';

function sandbox(id: string): SandboxRecord {
  return {
    id,
    snapshot_tag: 'py',
    netns: null,
    guest_addr: '10.42.0.2:8888',
    created_at_unix: 1,
    pid: 1,
    memory_limit_mib: null,
    has_branched: false,
    last_branch_memory_path: null,
    branch_count: 0,
  };
}

const add =
  (id: string) =>
  ({ sandboxes }: RegistryState): void => {
    sandboxes.set(id, sandbox(id));
  };

const NO_SPACE = new Error('ENOSPC: no space left on device');

/** Holds each write until the test lets it succeed or fail. */
class HeldFile extends StateFile {
  override readonly path = '/held/state.json';
  text: string | undefined;
  writes = 0;
  private pending: { text: string; settle: (error?: Error) => void } | undefined;
  private waiter: (() => void) | undefined;

  constructor(text?: string) {
    super();
    this.text = text;
  }

  override read(): Promise<string | undefined> {
    return Promise.resolve(this.text);
  }

  override replace(text: string): Promise<void> {
    assert.equal(this.pending, undefined, 'one write at a time');
    this.writes += 1;
    return new Promise((resolve, reject) => {
      this.pending = {
        text,
        settle: (error) => {
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.waiter?.();
    });
  }

  /** Waits for the next write and ends it. */
  async settle(error?: Error): Promise<string[]> {
    if (this.pending === undefined) {
      await new Promise<void>((resolve) => {
        this.waiter = resolve;
      });
    }
    const pending = this.pending;
    assert.ok(pending);
    this.pending = undefined;
    if (error === undefined) this.text = pending.text;
    pending.settle(error);
    return [...parseState(pending.text).sandboxes.keys()];
  }

  /** Waits until a write is under way. */
  async begun(): Promise<void> {
    if (this.pending !== undefined) return;
    await new Promise<void>((resolve) => {
      this.waiter = resolve;
    });
  }
}

async function loaded(text?: string): Promise<{ file: HeldFile; registry: RegistryService }> {
  const file = new HeldFile(text);
  return { file, registry: await RegistryService.load(file) };
}

const ids = (registry: RegistryService): string[] => registry.sandboxes().map(({ id }) => id);

describe('loading', () => {
  it('takes an absent file as empty and writes nothing', async () => {
    const { file, registry } = await loaded();
    assert.deepEqual(ids(registry), []);
    assert.equal(file.writes, 0);
  });

  it('fails on a file that cannot be understood, names it and leaves it alone', async () => {
    const file = new HeldFile('{"snapshots":');
    await assert.rejects(RegistryService.load(file), /\/held\/state\.json.*left as it is.*not JSON/);
    assert.deepEqual([file.text, file.writes], ['{"snapshots":', 0]);
  });
});

describe('reading', () => {
  it('lists in byte order of the keys', async () => {
    const { file, registry } = await loaded();
    const done = registry.mutate((draft) => {
      for (const id of ['sb-b', 'sb-10', 'sb-9', 'sb-B']) add(id)(draft);
    });
    assert.deepEqual(ids(registry), ['sb-10', 'sb-9', 'sb-B', 'sb-b']);
    await file.settle();
    await done;
    assert.equal(registry.getSandbox('sb-9')?.id, 'sb-9');
    assert.equal(registry.getSandbox('sb-8'), undefined);
  });

  it('hands out records that cannot be changed behind the registry', async () => {
    const { file, registry } = await loaded();
    const mine = sandbox('a');
    const done = registry.mutate(({ sandboxes }) => {
      sandboxes.set('a', mine);
    });
    mine.branch_count = 99;
    assert.equal(registry.getSandbox('a')?.branch_count, 0);
    assert.throws(() => {
      Object.assign(registry.getSandbox('a') ?? {}, { branch_count: 1 });
    }, TypeError);
    await file.settle();
    await done;
  });
});

describe('mutating', () => {
  it('shows in memory at once and is acknowledged when it is on disk', async () => {
    const { file, registry } = await loaded();
    let durable = false;
    const done = registry.mutate(add('a')).then(() => {
      durable = true;
    });
    assert.deepEqual(ids(registry), ['a']);
    await file.begun();
    assert.equal(durable, false);
    assert.deepEqual(await file.settle(), ['a']);
    await done;
  });

  it('shares one write among the mutations of a moment, and among those that come during a write', async () => {
    const { file, registry } = await loaded();
    const first = Promise.all(
      Array.from({ length: 100 }, (_, index) => registry.mutate(add(`first-${index}`))),
    );
    await file.begun();
    const later = Promise.all(
      Array.from({ length: 100 }, (_, index) => registry.mutate(add(`later-${index}`))),
    );
    assert.equal((await file.settle()).length, 100);
    await first;
    assert.equal((await file.settle()).length, 200);
    await later;
    assert.equal(file.writes, 2);
  });

  it('changes nothing when the change throws', async () => {
    const { file, registry } = await loaded();
    const failing = registry.mutate((draft) => {
      add('a')(draft);
      throw new Error('taken');
    });
    await assert.rejects(failing, /taken/);
    await registry.flush();
    assert.deepEqual([ids(registry), file.writes], [[], 0]);
  });

  it('writes nothing when nothing changes, but waits for what it has seen', async () => {
    const { file, registry } = await loaded();
    await registry.mutate(() => undefined);
    assert.equal(file.writes, 0);
    const done = registry.mutate(add('a'));
    let seen = false;
    const idle = registry.mutate(add('a')).then(() => {
      seen = true;
    });
    await file.begun();
    assert.equal(seen, false);
    await file.settle();
    await Promise.all([done, idle]);
    assert.equal(file.writes, 1);
  });

  it('alters records in place in the draft', async () => {
    const { file, registry } = await loaded();
    const added = registry.mutate(add('a'));
    const altered = registry.mutate(({ sandboxes }) => {
      const record = sandboxes.get('a');
      assert.ok(record);
      record.branch_count += 1;
    });
    await file.settle();
    await Promise.all([added, altered]);
    assert.equal(registry.getSandbox('a')?.branch_count, 1);
    assert.equal(parseState(file.text ?? '').sandboxes.get('a')?.branch_count, 1);
  });
});

describe('a failed write', () => {
  it('rejects its mutations and takes them back', async () => {
    const { file, registry } = await loaded();
    const kept = registry.mutate(add('kept'));
    await file.settle();
    await kept;
    const lost = registry.mutate(({ sandboxes }) => {
      sandboxes.delete('kept');
      sandboxes.set('new', sandbox('new'));
    });
    const rejected = assert.rejects(lost, /\/held\/state\.json/);
    await file.settle(NO_SPACE);
    await rejected;
    assert.deepEqual(ids(registry), ['kept']);
  });

  it('takes back what came during it as well, as that may build on it', async () => {
    const { file, registry } = await loaded();
    const first = assert.rejects(registry.mutate(add('a')));
    await file.begun();
    const second = assert.rejects(
      registry.mutate(({ sandboxes }) => {
        const record = sandboxes.get('a');
        assert.ok(record);
        record.branch_count = 5;
        sandboxes.set('b', sandbox('b'));
      }),
    );
    assert.deepEqual(ids(registry), ['a', 'b']);
    await file.settle(NO_SPACE);
    await Promise.all([first, second]);
    assert.deepEqual(ids(registry), []);
    assert.equal(file.writes, 1);
  });

  it('does not stop later ones', async () => {
    const { file, registry } = await loaded();
    const lost = assert.rejects(registry.mutate(add('a')));
    await file.settle(NO_SPACE);
    await lost;
    const done = registry.mutate(add('b'));
    assert.deepEqual(await file.settle(), ['b']);
    await done;
    assert.deepEqual(ids(registry), ['b']);
  });

  it('has the cause, for the answer and the log', async () => {
    const { file, registry } = await loaded();
    const lost = assert.rejects(registry.mutate(add('a')), (error: Error) => error.cause === NO_SPACE);
    await file.settle(NO_SPACE);
    await lost;
  });
});

describe('shutdown', () => {
  it('waits for the last write', async () => {
    const { file, registry } = await loaded();
    const done = registry.mutate(add('a'));
    let stopped = false;
    const stopping = registry.onApplicationShutdown().then(() => {
      stopped = true;
    });
    await file.begun();
    assert.equal(stopped, false);
    await file.settle();
    await Promise.all([done, stopping]);
  });
});
