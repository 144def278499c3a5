import { Command } from 'nest-commander';
import { CliError } from '../errors';
import type { LineageNode } from '../lineage/lineage';
import type { Session } from '../session';
import { ForkdCommand } from './forkd.command';
import { snapshotDetails } from './snapshot-details';

@Command({
  name: 'tree',
  description: 'Draw which snapshots and sandboxes came from which',
})
export class TreeCommand extends ForkdCommand {
  protected override async execute(session: Session): Promise<void> {
    const api = await session.api();
    const [{ lineage }, { drawLineage }] = await Promise.all([
      import('../lineage/lineage.js'),
      import('../lineage/draw.js'),
    ]);
    const [snapshots, sandboxes] = await Promise.all([api.snapshots(), api.sandboxes()]);
    const details = await snapshotDetails(api, snapshots);
    const roots = lineage(
      snapshots.map((snapshot) => {
        const detail = details.get(snapshot.tag);
        if (detail instanceof CliError) return { snapshot, problem: detail.message };
        return { snapshot, ...(detail?.parent_tag === undefined ? {} : { parentTag: detail.parent_tag }) };
      }),
      sandboxes,
    );
    const { output } = session;
    if (output.options.json) output.json(roots);
    else if (output.options.quiet) for (const name of namesOf(roots)) output.line(name);
    else for (const line of drawLineage(roots, output.width)) output.line(line);
    if (roots.length === 0 && !output.options.json) {
      output.note('No snapshots. `forkd snapshot create python --image python` makes one.');
    }
  }
}

function namesOf(nodes: readonly LineageNode[]): string[] {
  return nodes.flatMap((node) => [node.name, ...namesOf(node.children)]);
}
