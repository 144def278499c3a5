import { Command } from 'nest-commander';
import type { Session } from '../session';
import { ForkdCommand } from './forkd.command';

@Command({ name: 'status', description: 'Show whether the daemon answers, its version and what it holds' })
export class StatusCommand extends ForkdCommand {
  protected override async execute(session: Session): Promise<void> {
    const api = await session.api();
    const started = performance.now();
    await api.health();
    const latencyMs = Math.round(performance.now() - started);
    const [daemon, snapshots, sandboxes] = await Promise.all([
      api.version(),
      api.snapshots(),
      api.sandboxes(),
    ]);
    const ready = snapshots.filter((snapshot) => snapshot.status === 'ready').length;
    const { output, installation } = session;
    if (output.options.json) {
      output.json({
        url: session.url.href,
        healthy: true,
        latency_ms: latencyMs,
        daemon_version: daemon.version,
        api: daemon.api,
        cli_version: installation.version,
        snapshots: snapshots.length,
        snapshots_ready: ready,
        sandboxes: sandboxes.length,
      });
      return;
    }
    output.line(`daemon     ${session.url.origin}, healthy, answered in ${latencyMs} ms`);
    output.line(
      `version    ${daemon.version} (interface ${daemon.api}), this program ${installation.version}`,
    );
    output.line(`snapshots  ${snapshots.length}, of which ${ready} ready`);
    output.line(`sandboxes  ${sandboxes.length}`);
    if (daemon.version !== installation.version) {
      output.note('The daemon and this program differ in version: restart the daemon after an upgrade.');
    }
  }
}
