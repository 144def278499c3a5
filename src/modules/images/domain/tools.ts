/** Programs the image builder needs, and the Debian package that brings each of them. */
export const TOOL_PACKAGES = {
  'apt-cache': 'apt',
  'apt-get': 'apt',
  busybox: 'busybox-static',
  debugfs: 'e2fsprogs',
  'dpkg-deb': 'dpkg',
  ldconfig: 'libc-bin',
  lz4: 'lz4',
  mke2fs: 'e2fsprogs',
  xz: 'xz-utils',
  zstd: 'zstd',
} as const;

export type ToolName = keyof typeof TOOL_PACKAGES;

/** What to tell someone whose machine lacks a tool. */
export function missingToolMessage(tool: string): string {
  const packages: Readonly<Record<string, string>> = TOOL_PACKAGES;
  const name = Object.hasOwn(packages, tool) ? packages[tool] : undefined;
  if (name === undefined) return `${tool} was not found on this machine`;
  return `${tool} was not found on this machine; install it with \`apt-get install ${name}\``;
}
