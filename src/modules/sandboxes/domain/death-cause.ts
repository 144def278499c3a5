/** How a VM's process ended; see the VMM's port. */
interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

/**
 * Why a VM ended that nobody had asked to; a fixed set, to be counted by. `exited`: the guest switched itself off. `unknown`: one
 * that an earlier daemon had started, whose exit status goes to nobody. `out_of_memory`: past its limit.
 */
export type DeathCause =
  'exited' | 'failed' | 'killed' | 'crashed' | 'out_of_memory' | 'no_space' | 'unknown';

/** What the exit status alone tells. */
export function deathCause({ code, signal }: Exit): DeathCause {
  // The kernel's answer to touching a page of a file for which there is no room.
  if (signal === 'SIGBUS') return 'no_space';
  if (signal === 'SIGKILL' || signal === 'SIGTERM') return 'killed';
  if (signal !== null) return 'crashed';
  if (code === null) return 'unknown';
  return code === 0 ? 'exited' : 'failed';
}
