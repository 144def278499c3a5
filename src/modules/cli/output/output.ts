import { printable, renderTable, type Column } from './table';

export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly color: boolean;
}

export type Color = 'red' | 'green' | 'yellow' | 'dim';

const COLORS: Readonly<Record<Color, number>> = { red: 31, green: 32, yellow: 33, dim: 2 };

const REDRAW_MS = 100;
const FRAMES = ['|', '/', '-', '\\'];

/** Data goes to stdout, everything said to a person goes to stderr. */
export class Output {
  constructor(
    readonly options: OutputOptions,
    private readonly stdout: Terminal,
    private readonly stderr: Terminal,
  ) {}

  /** Whether a person sees stderr, so that a line of it can be redrawn. */
  get interactive(): boolean {
    return this.stderr.isTTY === true;
  }

  /** Raw data for stdout. */
  data(text: string): void {
    this.stdout.write(text);
  }

  line(text: string): void {
    this.stdout.write(`${text}\n`);
  }

  json(value: unknown): void {
    this.line(JSON.stringify(value, null, this.stdout.isTTY === true ? 2 : undefined));
  }

  /** The rows as JSON, as one key a line (--quiet), or as a table. */
  rows<Row>(columns: readonly Column<Row>[], rows: readonly Row[], key: (row: Row) => string): void {
    if (this.options.json) this.json(rows);
    else if (this.options.quiet) for (const row of rows) this.line(key(row));
    else this.table(columns, rows);
  }

  table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): void {
    this.data(renderTable(columns, rows, this.width));
  }

  /** What is known about one thing, a line each. */
  fields(fields: readonly (readonly [name: string, value: string])[]): void {
    for (const [name, value] of fields) this.line(`${name.padEnd(14)} ${printable(value)}`);
  }

  /** Characters of a line of stdout; undefined when nobody limits it. */
  get width(): number | undefined {
    return this.stdout.isTTY === true ? this.stdout.columns : undefined;
  }

  /** The text in a colour where stdout shows any. */
  paint(text: string, color: Color): string {
    return this.options.color && this.stdout.isTTY === true
      ? `\u001b[${COLORS[color]}m${text}\u001b[0m`
      : text;
  }

  /** Raw data for stderr, such as what a program in the guest wrote there. */
  errorData(text: string): void {
    this.stderr.write(text);
  }

  /** A remark for a person; left out with --quiet. */
  note(text: string): void {
    if (!this.options.quiet) this.stderr.write(`${text}\n`);
  }

  error(message: string, hint?: string): void {
    const label = this.options.color && this.stderr.isTTY === true ? '\u001b[1;31merror:\u001b[0m' : 'error:';
    this.stderr.write(`${label} ${message}\n${hint === undefined ? '' : `${hint}\n`}`);
  }

  /** Runs long work with a line on the terminal that shows what it does and for how long. */
  async during<T>(label: string, work: (step: (text: string) => void) => Promise<T>): Promise<T> {
    if (this.options.quiet || !this.interactive) return work(() => undefined);
    const started = performance.now();
    let current = label;
    let frame = 0;
    const draw = (): void => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      const width = (this.stderr.columns ?? 80) - 1;
      const text = `${FRAMES[frame % FRAMES.length] ?? ''} ${current} ${seconds} s`.slice(0, width);
      frame += 1;
      this.stderr.write(`\r\u001b[K${text}`);
    };
    draw();
    const timer = setInterval(draw, REDRAW_MS);
    try {
      return await work((text) => {
        current = text;
      });
    } finally {
      clearInterval(timer);
      this.stderr.write('\r\u001b[K');
    }
  }
}
