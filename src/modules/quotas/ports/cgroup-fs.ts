/** The kernel's cgroup v2 file system. All failures are system errors with their errno. */
export abstract class CgroupFs {
  /** Where it is mounted; undefined when it is not. */
  abstract mountPoint(): Promise<string | undefined>;
  /** Makes one group; one that is there already is kept. */
  abstract create(dir: string): Promise<void>;
  /** Removes a group without processes and children; one that is not there is no error. */
  abstract remove(dir: string): Promise<void>;
  /** Names of the groups in a group; none when it is not there. */
  abstract children(dir: string): Promise<string[]>;
  abstract read(file: string): Promise<string>;
  /** Writes to a file that is there, by one write(2). */
  abstract write(file: string, text: string): Promise<void>;
  /** Calls back whenever the kernel says that the file has another content. @returns what ends that. */
  abstract watch(file: string, changed: () => void): () => void;
}
