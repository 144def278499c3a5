import { type GuestMemory, PAGE_BYTES } from './guest-memory';

const TICK_PAGE = 1;
const HOSTNAME_PAGE = 2;
const FIRST_SLOT = 16;
const SLOTS = 256;

/** What a guest keeps, all of it in pages of its memory: each variable in a page of its own. */
export class GuestVariables {
  constructor(private readonly memory: GuestMemory) {}

  get ticks(): number {
    return this.memory.read(TICK_PAGE).readUInt32LE(0);
  }

  set ticks(value: number) {
    const page = Buffer.alloc(4);
    page.writeUInt32LE(value);
    this.memory.write(TICK_PAGE, page);
  }

  get hostname(): string {
    return textOf(this.memory.read(HOSTNAME_PAGE), 0);
  }

  set hostname(name: string) {
    this.memory.write(HOSTNAME_PAGE, encode(name));
  }

  get(name: string): string | undefined {
    return this.all().get(name)?.value;
  }

  set(name: string, value: string): void {
    const all = this.all();
    const slot =
      all.get(name)?.slot ?? freeSlot(name, new Set([...all.values()].map(({ slot: used }) => used)));
    this.memory.write(FIRST_SLOT + slot, encode(name, value));
  }

  /** Leaves a page of zeros. */
  unset(name: string): void {
    const found = this.all().get(name);
    if (found) this.memory.write(FIRST_SLOT + found.slot, Buffer.alloc(0));
  }

  entries(): [string, string][] {
    return [...this.all()].map(([name, { value }]): [string, string] => [name, value]).sort();
  }

  private all(): Map<string, { value: string; slot: number }> {
    const found = new Map<string, { value: string; slot: number }>();
    const pages = this.memory.read(FIRST_SLOT, SLOTS);
    for (let slot = 0; slot < SLOTS; slot++) {
      const start = slot * PAGE_BYTES;
      if (pages.readUInt16LE(start) === 0) continue;
      const name = textOf(pages, start);
      found.set(name, { value: textOf(pages, start + 2 + Buffer.byteLength(name)), slot });
    }
    return found;
  }
}

/** A place that depends on the name, so that different variables make different pages diverge. */
function freeSlot(name: string, used: ReadonlySet<number>): number {
  let hash = 7;
  for (const char of name) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % SLOTS;
  for (let step = 0; step < SLOTS; step++) {
    const slot = (hash + step) % SLOTS;
    if (!used.has(slot)) return slot;
  }
  throw new Error(`the simulated guest holds at most ${SLOTS} variables`);
}

function encode(...texts: string[]): Buffer {
  const parts = texts.flatMap((text) => {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(2);
    length.writeUInt16LE(bytes.length);
    return [length, bytes];
  });
  const page = Buffer.concat(parts);
  if (page.length > PAGE_BYTES) throw new Error('MemoryError: a variable and its name fill a page at most');
  return page;
}

function textOf(bytes: Buffer, at: number): string {
  const length = bytes.readUInt16LE(at);
  return bytes.toString('utf8', at + 2, at + 2 + length);
}
