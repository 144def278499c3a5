import { DomainError } from '../../../common/errors/domain-error';

export const TAG_PATTERN = '^[A-Za-z0-9_-]{1,64}$';
const TAG = new RegExp(TAG_PATTERN);

/** Whether a name is a snapshot tag: 1 to 64 of A-Z, a-z, 0-9, dash and underscore, so it is safe as a file name. */
export function isTag(name: string): boolean {
  return TAG.test(name);
}

/** @throws DomainError invalid, naming the member that holds the tag. */
export function requireTag(tag: string, member = 'tag'): void {
  if (!isTag(tag))
    throw new DomainError('invalid', `${member} must be 1-64 chars, ASCII alnum or dash/underscore`);
}
