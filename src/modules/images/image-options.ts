/** DI token of {@link ImageOptions}. */
export const IMAGE_OPTIONS = Symbol('IMAGE_OPTIONS');

export interface ImageOptions {
  /** Directory that holds all images; created when absent. */
  readonly imageRoot: string;
  /** The guest agent, a static executable. */
  readonly agentPath: string;
  /** Directory with the drivers of warm runtimes, e.g. `python/driver.py`. */
  readonly runtimesPath: string;
}
