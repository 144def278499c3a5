/** The compressor, a program of the host: Node 20 has none built in. */
export const ZSTD = 'zstd';

/**
 * With all processors, and at the level that gives the time back which hashing takes: packs are a tenth larger than at the
 * usual level 3.
 */
export const ZSTD_PACK_ARGS = ['-1', '-T0', '-q', '-c'] as const;

/** Its limit of 128 MiB for the window stays, so that no pack decides how much memory is used. */
export const ZSTD_UNPACK_ARGS = ['-d', '-q', '-c'] as const;
