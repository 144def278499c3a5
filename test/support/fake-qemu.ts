import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** How a QEMU goes wrong; everything else goes to the real one. */
export type QemuFault =
  | { readonly kind: 'version'; readonly text: string }
  /** A child ends at once, with these words. */
  | { readonly kind: 'dies-on-restore'; readonly words: string }
  /** A child is restored, but never runs. */
  | { readonly kind: 'frozen-child' }
  /** A parent is started, but never runs. */
  | { readonly kind: 'frozen-parent' };

/** Writes a script that behaves like QEMU but for one fault; returns its path. */
export async function faultyQemu(dir: string, fault: QemuFault, name = 'faulty-qemu'): Promise<string> {
  const real = 'exec qemu-system-x86_64';
  const bodies: Record<QemuFault['kind'], string> = {
    version: fault.kind === 'version' ? `[ "$1" = --version ] && { echo '${fault.text}'; exit 0; }` : '',
    'dies-on-restore':
      fault.kind === 'dies-on-restore'
        ? `case "$*" in *-incoming*) echo '${fault.words}' >&2; exit 1;; esac`
        : '',
    'frozen-child': `case "$*" in *-incoming*) ${real} -S "$@";; esac`,
    'frozen-parent': `case "$*" in *-kernel*) ${real} -S "$@";; esac`,
  };
  const path = join(dir, name);
  await writeFile(path, `#!/bin/sh\n${bodies[fault.kind]}\n${real} "$@"\n`);
  await chmod(path, 0o755);
  return path;
}
