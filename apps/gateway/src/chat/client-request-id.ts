import { badRequest } from '../http/gateway-error.js';

const MAX_BYTES = 512;
/** OpenAI's rule for the header. */
const PRINTABLE = /^[\x20-\x7e]+$/;

/**
 * The caller's own name for its request: header `x-client-request-id`, else `metadata.request_id`.
 * @throws GatewayError 400 for a header that is none. The field is the caller's for whatever it likes: what is no text
 * that fits is passed over.
 */
export function clientRequestIdOf(header: string | undefined, field: unknown): string | null {
  if (header !== undefined) {
    if (header.length <= MAX_BYTES && PRINTABLE.test(header)) return header;
    throw badRequest(
      'bad_client_request_id',
      `The header x-client-request-id must be printable ASCII, ${MAX_BYTES} characters at most.`,
      'x-client-request-id',
    );
  }
  return typeof field === 'string' && isId(field) ? field : null;
}

function isId(text: string): boolean {
  return text !== '' && !text.includes('\0') && text.isWellFormed() && Buffer.byteLength(text) <= MAX_BYTES;
}
