import { parseBody, toChatRequest } from '../chat/chat-request.js';
import type { Ingress } from '../chat/ingress.js';
import { errorBody } from '../http/gateway-error.js';
import { CompletionsStreamWriter, textCompletionOf } from './completions-answer.js';
import { chatFieldsOf } from './completions-request.js';

/** `POST /v1/completions`, OpenAI's protocol from before there were chats. */
export const COMPLETIONS: Ingress = {
  path: '/v1/completions',
  readRequest: (body, unit, id) => toChatRequest(chatFieldsOf(parseBody(body)), unit, id, COMPLETIONS),
  writeAnswer: (completion) => JSON.stringify(textCompletionOf(completion)),
  writeError: errorBody,
  openStream: () => new CompletionsStreamWriter(),
};
