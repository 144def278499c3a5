/**
 * Ids of this daemon's life: `sb-<unix seconds, hex>-<sequence, hex, at least 4 digits>`. The sequence begins at a random
 * place, so that a daemon restarted within the same second does not give an id twice; nor does one whose clock was set back,
 * as it asks.
 */
export class SandboxIds {
  private sequence: number;

  constructor(start: number) {
    this.sequence = start & 0xffff;
  }

  /** @param isTaken whether a sandbox has the id already. */
  next(unixSeconds: number, isTaken: (id: string) => boolean): string {
    for (;;) {
      const sequence = (this.sequence++).toString(16).padStart(4, '0');
      const id = `sb-${unixSeconds.toString(16)}-${sequence}`;
      if (!isTaken(id)) return id;
    }
  }
}
