/**
 * Ids of this daemon's life: `sb-<unix seconds, hex>-<sequence, hex, at least 4 digits>`. The sequence begins at a random
 * place, so that a daemon restarted within the same second does not give an id twice.
 */
export class SandboxIds {
  private sequence: number;

  constructor(start: number) {
    this.sequence = start & 0xffff;
  }

  next(unixSeconds: number): string {
    const sequence = (this.sequence++).toString(16).padStart(4, '0');
    return `sb-${unixSeconds.toString(16)}-${sequence}`;
  }
}
