import type { Size } from './exec-stream';

const DEFAULT_SIZE: Size = { rows: 24, cols: 80 };

/** The terminal this program runs in. Between {@link enter} and {@link leave} its keys are bytes, Ctrl-C and Ctrl-Z too. */
export class LocalTerminal {
  private raw = false;

  constructor(
    private readonly input: NodeJS.ReadStream,
    private readonly output: NodeJS.WriteStream,
  ) {}

  get size(): Size {
    const { rows, columns } = this.output;
    return this.output.isTTY && rows > 0 && columns > 0 ? { rows, cols: columns } : DEFAULT_SIZE;
  }

  /** Calls `changed` whenever the window has another size. */
  onResize(changed: () => void): () => void {
    this.output.on('resize', changed);
    return () => {
      this.output.off('resize', changed);
    };
  }

  enter(): void {
    if (this.raw || !this.input.isTTY) return;
    this.raw = true;
    this.input.setRawMode(true);
    // Whatever ends the process, short of SIGKILL.
    process.on('exit', this.leave);
  }

  readonly leave = (): void => {
    if (!this.raw) return;
    this.raw = false;
    process.off('exit', this.leave);
    this.input.setRawMode(false);
  };
}

const NEWLINES = new Set([0x0a, 0x0d]);
const TILDE = 0x7e;
const DOT = 0x2e;

/** Finds `~.` at the beginning of a line in what is typed, as ssh has it: the way out when nothing else answers. */
export class EscapeKeys {
  private lineBegins = true;
  private heldTilde = false;

  /** What is to be sent on, and whether the user wants to leave. `~~` is one `~`. */
  read(keys: Buffer): { readonly keys: Buffer; readonly leave: boolean } {
    const kept: number[] = [];
    for (const key of keys) {
      if (this.heldTilde) {
        this.heldTilde = false;
        if (key === DOT) return { keys: Buffer.from(kept), leave: true };
        kept.push(TILDE);
        if (key === TILDE) continue;
      } else if (this.lineBegins && key === TILDE) {
        this.heldTilde = true;
        this.lineBegins = false;
        continue;
      }
      kept.push(key);
      this.lineBegins = NEWLINES.has(key);
    }
    return { keys: Buffer.from(kept), leave: false };
  }
}
