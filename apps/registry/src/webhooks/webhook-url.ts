import { DomainError } from '#libs/core/errors/catalogue.js';
import { refusedLiteral, type Reach } from './private-hosts.js';

const MAX_LENGTH = 2048;

/**
 * The URL of a webhook in its normal form (WHATWG URL, which also unmasks `http://0x7f.1`).
 * @throws DomainError VALIDATION_FAILED. The message does not repeat a URL, which may hold a password.
 */
export function checkedUrl(text: string, reach: Reach): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || text.length > MAX_LENGTH || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw invalid(`must be an http or https URL of at most ${MAX_LENGTH} characters`);
  if (url.username !== '' || url.password !== '' || url.hash !== '')
    throw invalid('must not hold a user, a password or a fragment; a receiver checks the signature instead');
  const refused = refusedLiteral(url, reach);
  if (refused !== undefined) throw invalid(`is refused: ${refused}`);
  return url.href;
}

function invalid(message: string): DomainError {
  return new DomainError('VALIDATION_FAILED', `The request is not valid: /url ${message}.`, [
    { path: '/url', message },
  ]);
}
