import type { Measurement } from './types';

/** Student's t for 95 % and many samples. */
const T_95 = 2;

/** A straight line through samples taken at equal distances, by least squares. */
export function trendOf(samples: readonly number[]): { slope: number; slopeError: number; noise: number } {
  const count = samples.length;
  const middle = (count - 1) / 2;
  const mean = samples.reduce((sum, each) => sum + each, 0) / count;
  const spread = samples.reduce((sum, _, at) => sum + (at - middle) ** 2, 0);
  const slope = samples.reduce((sum, each, at) => sum + (at - middle) * (each - mean), 0) / spread;
  const rest = samples.reduce((sum, each, at) => sum + (each - mean - slope * (at - middle)) ** 2, 0);
  const noise = Math.sqrt(rest / (count - 2));
  return { slope, slopeError: noise / Math.sqrt(spread), noise };
}

/**
 * What a process holds more at the end of the samples than at their beginning, by their trend. That is flat when the trend
 * cannot be told from none, or is less than what neighbouring samples differ by.
 */
export function flat(name: string, unit: string, samples: readonly number[]): Measurement {
  const { slope, slopeError, noise } = trendOf(samples);
  const growth = slope * (samples.length - 1);
  const within = Math.max(T_95 * slopeError * (samples.length - 1), noise);
  return {
    name,
    unit,
    value: growth,
    limit: `<= ${within.toFixed(2)} (noise)`,
    holds: growth <= within,
    samples,
  };
}
