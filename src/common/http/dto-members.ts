import { ValidateBy } from 'class-validator';

export interface MemberOptions<T> {
  /** Used when the member is absent. */
  readonly default?: T;
  /** null is accepted; an absent member is null, too. */
  readonly nullable?: boolean;
  /** The member may be absent and is undefined then. */
  readonly optional?: boolean;
}

export interface MemberSpec {
  readonly name: string;
  readonly options: MemberOptions<unknown>;
  /** The value must be written as a plain unsigned integer: no sign, point or exponent. */
  readonly unsigned: boolean;
  /** What is expected, for people. */
  readonly expected: string;
}

const specs = new WeakMap<object, Map<string, MemberSpec>>();

/** The declared members of a DTO class, inherited ones included. */
export function membersOf(type: object): MemberSpec[] {
  const inherited: unknown = Object.getPrototypeOf(type);
  const base = typeof inherited === 'function' ? membersOf(inherited) : [];
  return [...base, ...(specs.get(type)?.values() ?? [])];
}

/** An unsigned integer up to 2^64-1; above 2^53 it loses precision, which every range check refuses anyway. */
export function U64(options: MemberOptions<number> = {}): PropertyDecorator {
  return member('an unsigned integer', isU64, options, true);
}

export function Bool(options: MemberOptions<boolean> = {}): PropertyDecorator {
  return member('true or false', (value) => typeof value === 'boolean', options);
}

export function Text(options: MemberOptions<string> = {}): PropertyDecorator {
  return member('a string', isText, options);
}

export function TextArray(options: MemberOptions<readonly string[]> = {}): PropertyDecorator {
  return member('an array of strings', (value) => Array.isArray(value) && value.every(isText), options);
}

/** A string that is one of the given words. */
export function OneOf<T extends string>(
  words: readonly T[],
  options: MemberOptions<T> = {},
): PropertyDecorator {
  const expected = `one of ${words.map((word) => `"${word}"`).join(', ')}`;
  return member(expected, (value) => words.some((word) => word === value), options);
}

function member(
  expected: string,
  accepts: (value: unknown) => boolean,
  options: MemberOptions<unknown>,
  unsigned = false,
): PropertyDecorator {
  const wanted = options.nullable === true ? `${expected} or null` : expected;
  return (prototype, property) => {
    const name = String(property);
    const type = prototype.constructor;
    const own = specs.get(type) ?? new Map<string, MemberSpec>();
    own.set(name, { name, options, unsigned, expected: wanted });
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

/** Half a surrogate pair is no text: it could not be passed on as UTF-8. */
function isText(value: unknown): boolean {
  return typeof value === 'string' && value.isWellFormed();
}
