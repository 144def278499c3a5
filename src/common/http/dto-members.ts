import { ValidateBy } from 'class-validator';
import type { JsonSchema } from './schema';

export interface MemberOptions<T> {
  /** Used when the member is absent. */
  readonly default?: T;
  /** null is accepted; an absent member is null, too. */
  readonly nullable?: boolean;
  /** The member may be absent and is undefined then. */
  readonly optional?: boolean;
  /** What the member means, for the API's document. */
  readonly description?: string;
}

/** The range that the domain holds numbers to, for the API's document; here only the type is checked. */
export interface Range {
  readonly minimum?: number;
  readonly maximum?: number;
}

/** The alphabet that the domain holds a text to, for the API's document; here only the type is checked. */
export interface Alphabet {
  readonly pattern?: string;
}

export interface MemberSpec {
  readonly name: string;
  readonly options: MemberOptions<unknown>;
  /** The value must be written as a plain unsigned integer: no sign, point or exponent. */
  readonly unsigned: boolean;
  /** What is expected, for people. */
  readonly expected: string;
  /** The same for the API's document, without default and null. */
  readonly schema: JsonSchema;
}

const specs = new WeakMap<object, Map<string, MemberSpec>>();

/** The declared members of a DTO class, inherited ones included. */
export function membersOf(type: object): MemberSpec[] {
  const inherited: unknown = Object.getPrototypeOf(type);
  const base = typeof inherited === 'function' ? membersOf(inherited) : [];
  return [...base, ...(specs.get(type)?.values() ?? [])];
}

/** An unsigned integer up to 2^64-1; above 2^53 it loses precision, which every range check refuses anyway. */
export function U64(options: MemberOptions<number> & Range = {}): PropertyDecorator {
  const { minimum = 0, maximum } = options;
  const schema = { type: 'integer', minimum, ...(maximum === undefined ? {} : { maximum }) };
  return member({ expected: 'an unsigned integer', schema, unsigned: true }, isU64, options);
}

/** A number, fractions included. */
export function Decimal(options: MemberOptions<number> & Range = {}): PropertyDecorator {
  const { minimum, maximum } = options;
  const schema = {
    type: 'number',
    ...(minimum === undefined ? {} : { minimum }),
    ...(maximum === undefined ? {} : { maximum }),
  };
  return member({ expected: 'a number', schema }, (value) => typeof value === 'number', options);
}

/** An object of unsigned integers, each of which may be absent; members that are not named are not taken over. */
export function Counts<T extends string>(
  names: Readonly<Record<T, string>>,
  options: MemberOptions<Readonly<Partial<Record<T, number>>>> = {},
): PropertyDecorator {
  const entries = Object.entries<string>(names);
  const schema = {
    type: 'object',
    properties: Object.fromEntries(
      entries.map(([name, description]) => [name, { type: 'integer', minimum: 1, description }]),
    ),
  };
  const known = entries.map(([name]) => name);
  const accepts = (value: unknown): boolean =>
    isObject(value) && known.every((name) => value[name] === undefined || isU64(value[name]));
  const expected = `an object with unsigned integers: ${known.join(', ')}`;
  return member({ expected, schema }, accepts, options);
}

export function Bool(options: MemberOptions<boolean> = {}): PropertyDecorator {
  const kind = { expected: 'true or false', schema: { type: 'boolean' } };
  return member(kind, (value) => typeof value === 'boolean', options);
}

export function Text(options: MemberOptions<string> & Alphabet = {}): PropertyDecorator {
  const { pattern } = options;
  const schema = { type: 'string', ...(pattern === undefined ? {} : { pattern }) };
  return member({ expected: 'a string', schema }, isText, options);
}

export function TextArray(
  options: MemberOptions<readonly string[]> & { readonly minItems?: number } = {},
): PropertyDecorator {
  const { minItems } = options;
  const schema = {
    type: 'array',
    items: { type: 'string' },
    ...(minItems === undefined ? {} : { minItems }),
  };
  const accepts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
  return member({ expected: 'an array of strings', schema }, accepts, options);
}

/** A string that is one of the given words. */
export function OneOf<T extends string>(
  words: readonly T[],
  options: MemberOptions<T> = {},
): PropertyDecorator {
  const expected = `one of ${words.map((word) => `"${word}"`).join(', ')}`;
  const schema = { type: 'string', enum: words };
  return member({ expected, schema }, (value) => words.some((word) => word === value), options);
}

interface Kind {
  readonly expected: string;
  readonly schema: JsonSchema;
  readonly unsigned?: boolean;
}

function member(
  { expected, schema, unsigned = false }: Kind,
  accepts: (value: unknown) => boolean,
  options: MemberOptions<unknown>,
): PropertyDecorator {
  const wanted = options.nullable === true ? `${expected} or null` : expected;
  return (prototype, property) => {
    const name = String(property);
    const type = prototype.constructor;
    const own = specs.get(type) ?? new Map<string, MemberSpec>();
    own.set(name, { name, options, unsigned, expected: wanted, schema });
    specs.set(type, own);
    ValidateBy({
      name: 'member',
      validator: {
        validate: (value: unknown): boolean => {
          if (value === undefined) return options.optional === true;
          if (value === null) return options.nullable === true;
          return accepts(value);
        },
        defaultMessage: () => `\`${name}\` must be ${wanted}`,
      },
    })(prototype, property);
  };
}

/** The highest values are rounded to 2^64 by JSON.parse; the body's text has been checked for more. */
function isU64(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 2 ** 64;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Half a surrogate pair is no text: it could not be passed on as UTF-8. */
function isText(value: unknown): boolean {
  return typeof value === 'string' && value.isWellFormed();
}
