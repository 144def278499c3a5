/** Remembers which namespaces are this daemon's, from before they are made until they are gone. */
export abstract class NamespaceJournal {
  /** The slots recorded since the host booted. */
  abstract read(): Promise<readonly number[]>;
  abstract write(slots: readonly number[]): Promise<void>;
}
