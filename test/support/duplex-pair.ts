import { Duplex } from 'node:stream';

class Side extends Duplex {
  other: Side | undefined;

  override _read(): void {
    // Data comes when the other side writes.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.other?.push(chunk);
    done();
  }

  override _final(done: () => void): void {
    this.other?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const { other } = this;
    if (other && !other.destroyed) {
      process.nextTick(() => other.destroy());
    }
    done(error);
  }
}

/** Two streams, each giving what is written into the other; ending or destroying one closes the other. */
export function duplexPair(): [Duplex, Duplex] {
  const one = new Side();
  const two = new Side();
  one.other = two;
  two.other = one;
  return [one, two];
}
