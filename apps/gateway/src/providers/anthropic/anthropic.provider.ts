import type { Provider } from '../provider.js';
import { completionOf } from './anthropic-answer.js';
import { readAnthropicError } from './anthropic-error.js';
import { messagesBody } from './anthropic-request.js';
import { AnthropicStreamReader } from './anthropic-stream.js';

/** Anthropic's Messages API. The base URL is `https://api.anthropic.com/v1`. */
export const ANTHROPIC: Provider = {
  apiVersion: '2023-06-01',
  path: (base) => `${base}/messages`,
  headers: (credential, apiVersion) => {
    const version = ['anthropic-version', apiVersion];
    return credential === undefined ? version : [...version, 'x-api-key', credential];
  },
  writeRequest: (request) => JSON.stringify(messagesBody(request)),
  readError: readAnthropicError,
  readAnswer: completionOf,
  openStream: (createdS) => new AnthropicStreamReader(createdS),
};
