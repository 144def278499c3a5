/** What JSON.parse does not tell about an object's members. */
export interface MemberFacts {
  /** How often the name occurs. */
  count: number;
  /** How the (last) value is written when it is a number, literal or number-like; undefined for others. */
  lexeme: string | undefined;
}

/**
 * Looks at the members of the outermost object of a JSON text: how often each occurs and how its number is written.
 * Empty when the text is not an object.
 *
 * @param text what JSON.parse has accepted; anything else gives meaningless results.
 */
export function scanMembers(text: string): Map<string, MemberFacts> {
  const members = new Map<string, MemberFacts>();
  let at = skipSpace(text, 0);
  if (text[at] !== '{') return members;
  at = skipSpace(text, at + 1);
  while (text[at] === '"') {
    const nameEnd = skipString(text, at);
    const name = String(JSON.parse(text.slice(at, nameEnd)));
    // Behind the name come space, the colon, space, the value.
    const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const valueEnd = skipValue(text, valueStart);
    const facts = members.get(name) ?? { count: 0, lexeme: undefined };
    facts.count += 1;
    facts.lexeme = isCompound(text[valueStart]) ? undefined : text.slice(valueStart, valueEnd);
    members.set(name, facts);
    at = skipSpace(text, valueEnd);
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
  return members;
}

function isCompound(first: string | undefined): boolean {
  return first === '{' || first === '[' || first === '"';
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\n\r'.includes(text.charAt(at))) at += 1;
  return at;
}

/** From an opening quote to behind the closing one. */
function skipString(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

function skipValue(text: string, from: number): number {
  const first = text[from];
  if (first === '"') return skipString(text, from);
  let at = from;
  if (first !== '{' && first !== '[') {
    while (at < text.length && !',}] \t\n\r'.includes(text.charAt(at))) at += 1;
    return at;
  }
  let depth = 0;
  do {
    const char = text[at];
    if (char === '"') {
      at = skipString(text, at);
      continue;
    }
    if (char === '{' || char === '[') depth += 1;
    if (char === '}' || char === ']') depth -= 1;
    at += 1;
  } while (depth > 0 && at < text.length);
  return at;
}
