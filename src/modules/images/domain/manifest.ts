import { DomainError } from '../../../common/errors/domain-error';
import { digestOf } from './recipes';

export const FORMAT_VERSION = 1;

export type ComponentKind = 'kernel' | 'initramfs' | 'rootfs';

export interface StoredFile {
  /** Relative to the component's directory. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** One part of an image as it lies in the store: `store/<kind>-<digest>/manifest.json`. */
export interface ComponentManifest {
  readonly formatVersion: number;
  readonly kind: ComponentKind;
  /** {@link componentDigest} of the files. */
  readonly digest: string;
  /** What it was made of, with versions; {@link inputsDigest} is taken over it. */
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly inputsDigest: string;
  readonly arch: string;
  /** Only of a kernel. */
  readonly kernelVersion?: string;
  /** In load order; only of a kernel. */
  readonly modules?: readonly string[];
  readonly files: readonly StoredFile[];
  readonly createdAtUnix: number;
}

/** `names/<name>.json`: which components an image is made of now. */
export interface ImageRecord {
  readonly formatVersion: number;
  readonly name: string;
  readonly digest: string;
  /** Digest of the definition, the agent and the drivers; a build with the same one has nothing to do. */
  readonly buildKey: string;
  readonly arch: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly rootfs: string;
  readonly runtimes: readonly string[];
  readonly createdAtUnix: number;
  /** Directories of components that earlier builds of this image used; they go when the image goes. */
  readonly superseded: readonly string[];
}

/** Content address of a component: sha256 over the names and digests of its files. */
export function componentDigest(files: readonly StoredFile[]): string {
  const list = files.map((file) => [file.path, file.sha256]).sort(([a = ''], [b = '']) => (a < b ? -1 : 1));
  return digestOf(list);
}

export function imageDigest(kernel: string, initramfs: string, rootfs: string): string {
  return digestOf({ kernel, initramfs, rootfs });
}

/** @throws DomainError conflict when it is not a manifest this release understands. */
export function parseManifest(text: string, where: string): ComponentManifest {
  const value = parseObject(text, where);
  if (
    !Array.isArray(value['files']) ||
    typeof value['digest'] !== 'string' ||
    typeof value['inputsDigest'] !== 'string'
  ) {
    throw unreadable(where);
  }
  return value as unknown as ComponentManifest;
}

/** @throws DomainError conflict when it is not a record this release understands. */
export function parseImageRecord(text: string, where: string): ImageRecord {
  const value = parseObject(text, where);
  for (const key of ['name', 'digest', 'buildKey', 'arch', 'kernel', 'initramfs', 'rootfs']) {
    if (typeof value[key] !== 'string') throw unreadable(where);
  }
  if (!Array.isArray(value['runtimes']) || !Array.isArray(value['superseded'])) throw unreadable(where);
  return value as unknown as ImageRecord;
}

function parseObject(text: string, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unreadable(where, error);
  }
  if (typeof value !== 'object' || value === null || !('formatVersion' in value)) throw unreadable(where);
  if (value.formatVersion !== FORMAT_VERSION) {
    throw new DomainError(
      'conflict',
      `${where} has format version ${String(value.formatVersion)}, this release reads ${FORMAT_VERSION}; build the image again`,
    );
  }
  return { ...value };
}

function unreadable(where: string, cause?: unknown): DomainError {
  return new DomainError('conflict', `${where} cannot be read as an image record; build the image again`, {
    cause,
  });
}
