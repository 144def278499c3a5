/** What a host can run out of: how the kernel says it (errno or its text, which programs pass on), and what to do. */
const RESOURCES: readonly (readonly [said: RegExp, advice: string])[] = [
  [
    /\bEMFILE\b|Too many open files(?! in system)/,
    'the daemon has no file descriptors left: ask for fewer, or raise LimitNOFILE= of its unit (ulimit -n)',
  ],
  [
    /\bENFILE\b|Too many open files in system/,
    'the host has no file descriptors left: ask for fewer, or raise fs.file-max',
  ],
  [
    /\bEAGAIN\b|Resource temporarily unavailable/,
    'the host allows no more processes: ask for fewer, or raise TasksMax= of the unit, LimitNPROC= or kernel.pid_max',
  ],
  [
    /\bENOMEM\b|Cannot allocate memory|\bout of memory\b/i,
    'the host has no memory left: ask for fewer, or delete sandboxes that are not needed',
  ],
  [
    /\bENOSPC\b|No space left on device/i,
    'the disk is full: ask for fewer, or delete snapshots that are not needed',
  ],
];

/** What a person can do about a failure whose reason is that the host has run out of something; undefined for others. */
export function exhaustionAdvice(text: string): string | undefined {
  return RESOURCES.find(([said]) => said.test(text))?.[1];
}
