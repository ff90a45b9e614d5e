import { ValidateBy, type ValidationOptions } from 'class-validator';

const MAX_LENGTH = 2048;

/**
 * Base URL of a replica as it is stored: normalised (WHATWG URL), without trailing slash.
 * @returns undefined where it is not an http or https URL free of credentials, query and fragment.
 */
export function normalizeBaseUrl(text: string): string | undefined {
  if (text.length > MAX_LENGTH || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  if (url.username !== '' || url.password !== '' || /[?#]/.test(text)) return undefined;
  return url.href.replace(/\/+$/, '');
}

// The message must not repeat the value: a URL that is refused for its credentials would be echoed with them.
export const IsBaseUrl = (options?: ValidationOptions): PropertyDecorator =>
  ValidateBy(
    {
      name: 'isBaseUrl',
      validator: {
        validate: (value: unknown) => typeof value === 'string' && normalizeBaseUrl(value) !== undefined,
        defaultMessage: () =>
          'must be an http or https URL of at most 2048 characters without user, password, query or fragment, such as http://10.0.0.5:8000/v1; a token belongs in `credential`',
      },
    },
    options,
  );
