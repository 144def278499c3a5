/** One package file as apt would download it. */
export interface PackageFile {
  readonly name: string;
  readonly version: string;
  /** As apt names it: `<name>_<version>_<architecture>.deb` with the colon of an epoch escaped. */
  readonly fileName: string;
  readonly sizeBytes: number;
}

/** Reads the output of `apt-get --print-uris`; sorted by name. */
export function parsePrintUris(output: string): PackageFile[] {
  const files: PackageFile[] = [];
  for (const line of output.split('\n')) {
    const match = /^'[^']*' (([^_\s]+)_([^_\s]+)_[^_\s]+\.deb) (\d+)( |$)/.exec(line);
    if (match === null) continue;
    const [, fileName = '', name = '', version = '', size = ''] = match;
    files.push({ name, version: version.replaceAll('%3a', ':'), fileName, sizeBytes: Number(size) });
  }
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The argument that makes apt take exactly this file. */
export function downloadArgument(file: PackageFile): string {
  return `${file.name}=${file.version}`;
}
