import type { SnapshotManifest } from './manifest';

/** What this host offers to a restore. */
export interface HostOffer {
  readonly engine: string;
  readonly version: string;
  readonly accelerator: string;
  readonly machine: string;
  readonly cpu: string;
  readonly arch: string;
}

/**
 * Why a snapshot cannot be restored by an engine on this host, naming both sides; undefined when it can. Device state
 * is only promised to load in the release line (major.minor) of the VMM that wrote it.
 */
export function incompatibility(manifest: SnapshotManifest, host: HostOffer): string | undefined {
  const { engine, guest } = manifest;
  const differs = (what: string, made: string, here: string): string =>
    `it was made with ${what} ${made}, and this host has ${here}; make the snapshot again on this host`;
  if (guest.arch !== host.arch) return differs('CPU architecture', guest.arch, host.arch);
  if (engine.name !== host.engine) return differs('engine', engine.name, host.engine);
  if (releaseLine(engine.version) !== releaseLine(host.version)) {
    return differs(`${engine.name} version`, engine.version, host.version);
  }
  if (engine.accelerator !== host.accelerator)
    return differs('accelerator', engine.accelerator, host.accelerator);
  if (engine.machine !== host.machine) return differs('machine type', engine.machine, host.machine);
  if (engine.cpu !== host.cpu) return differs('CPU model', engine.cpu, host.cpu);
  return undefined;
}

function releaseLine(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}
