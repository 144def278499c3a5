import { age } from '../output/format';
import { printable } from '../output/table';
import type { LineageNode } from './lineage';

/** The forest as lines, none longer than the width. */
export function drawLineage(
  roots: readonly LineageNode[],
  width: number = Number.POSITIVE_INFINITY,
  nowUnix: number = Date.now() / 1000,
): string[] {
  const lines: string[] = [];
  const draw = (node: LineageNode, above: LineageNode | undefined, lead: string, rest: string): void => {
    lines.push(cut(`${lead}${describe(node, above, nowUnix)}`, width));
    const last = node.children.length - 1;
    for (const [index, child] of node.children.entries()) {
      const [corner, line] = index === last ? ['└─ ', '   '] : ['├─ ', '│  '];
      draw(child, node, rest + corner, rest + line);
    }
  };
  for (const root of roots) draw(root, undefined, '', '');
  return lines;
}

function describe(node: LineageNode, above: LineageNode | undefined, nowUnix: number): string {
  const old = node.created_at_unix === undefined ? [] : [age(node.created_at_unix, nowUnix)];
  if (node.kind === 'sandbox') {
    const process = node.pid === null ? node.status : `pid ${node.pid}`;
    return printable([`${node.name}  sandbox`, process, ...old].join(', '));
  }
  const { branched_from: from, parent_tag: parent, problem } = node;
  const origin =
    from === undefined || above?.kind === 'sandbox'
      ? []
      : [from.startsWith('compact:') ? `compacted from ${from.slice(8)}` : `branched from ${from} (gone)`];
  const stored = parent === undefined ? [] : [`stored on ${parent}`];
  const broken = problem === undefined ? [] : [problem];
  return printable([`${node.name}  ${node.status}`, ...old, ...origin, ...stored, ...broken].join(', '));
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
