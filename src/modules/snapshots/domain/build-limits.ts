/** What a snapshot may be built with; other numbers are refused. */
export const MAX_BOOT_WAIT_SECS = 60;
export const MEM_MIB = { min: 64, max: 65_536 } as const;
export const MAX_VCPUS = 32;
