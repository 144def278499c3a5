import { DomainError } from '../../common/errors/domain-error';

/** Each has processes and a connection of its own; more at once would only slow each other down. */
const MAX_AT_ONCE = 4;

/** Bounds how many packs are on their way at once. */
export class PackSlots {
  private used = 0;

  /** @param deed "packed" or "unpacked". */
  constructor(private readonly deed: string) {}

  /** Takes a place; what it returns gives it back. @throws DomainError unavailable when all are taken. */
  take(): () => void {
    if (this.used >= MAX_AT_ONCE) {
      throw new DomainError(
        'unavailable',
        `${MAX_AT_ONCE} snapshots are being ${this.deed} already; retry shortly`,
      );
    }
    this.used++;
    let taken = true;
    return () => {
      if (taken) this.used--;
      taken = false;
    };
  }
}
