/** The one durable text that holds the registry. */
export abstract class StateFile {
  /** For messages. */
  abstract readonly path: string;
  /** The text, or undefined when it was never written. @throws system errors. */
  abstract read(): Promise<string | undefined>;
  /**
   * Replaces the text so that a crash leaves the old or the new one; settles when it is durable. Never called twice at once.
   *
   * @throws system errors; the old text is then there, as far as the disk allows.
   */
  abstract replace(text: string): Promise<void>;
}
