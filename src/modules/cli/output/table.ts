export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly align?: 'left' | 'right';
  /** May be cut to this many characters when the terminal is narrow; a column without it is never cut. */
  readonly minWidth?: number;
  /** May be left out when cutting is not enough; the last one goes first. */
  readonly optional?: boolean;
}

const GAP = 2;

/**
 * A plain table with a title line. Given the terminal's width it cuts, then drops, the columns that allow it; whatever
 * comes from outside is made harmless to the terminal.
 */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number = Number.POSITIVE_INFINITY,
): string {
  const all = columns.map((column) => {
    const cells = rows.map((row) => printable(column.cell(row)));
    const natural = Math.max(column.title.length, ...cells.map((cell) => cell.length));
    return { column, cells, width: natural };
  });
  const shown = fit(all, width);
  const line = (text: (index: number) => string): string =>
    shown
      .map(({ column, width: columnWidth }, index) => {
        const cut = shorten(text(index), columnWidth);
        return column.align === 'right' ? cut.padStart(columnWidth) : cut.padEnd(columnWidth);
      })
      .join(' '.repeat(GAP))
      .trimEnd();
  const title = line((index) => shown[index]?.column.title ?? '');
  const body = rows.map((_, row) => line((index) => shown[index]?.cells[row] ?? ''));
  return [title, ...body].map((text) => `${text}\n`).join('');
}

interface Laid<Row> {
  readonly column: Column<Row>;
  readonly cells: readonly string[];
  readonly width: number;
}

function fit<Row>(columns: readonly Laid<Row>[], width: number): readonly Laid<Row>[] {
  const shown = [...columns];
  for (;;) {
    const widths = shown.map(({ width: own }) => own);
    let over = widths.reduce((sum, own) => sum + own, GAP * (shown.length - 1)) - width;
    for (let index = shown.length - 1; index >= 0 && over > 0; index -= 1) {
      const least = shown[index]?.column.minWidth;
      if (least === undefined) continue;
      const cut = Math.min(over, Math.max(0, (widths[index] ?? 0) - least));
      widths[index] = (widths[index] ?? 0) - cut;
      over -= cut;
    }
    const droppable = shown.findLastIndex(({ column }) => column.optional === true);
    if (over <= 0 || droppable < 0) {
      return shown.map((laid, index) => ({ ...laid, width: widths[index] ?? laid.width }));
    }
    shown.splice(droppable, 1);
  }
}

function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** Text without control characters, which a terminal would obey. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}
