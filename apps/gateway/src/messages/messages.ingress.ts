import { parseBody, toChatRequest } from '../chat/chat-request.js';
import type { Ingress } from '../chat/ingress.js';
import { messageOf } from './messages-answer.js';
import { messagesError } from './messages-error.js';
import { chatFieldsOf } from './messages-request.js';
import { MessagesStreamWriter } from './messages-stream.js';

/** `POST /v1/messages`, Anthropic's protocol: `model` is the serving endpoint. */
export const MESSAGES: Ingress = {
  path: '/v1/messages',
  requestIdHeader: 'request-id',
  readRequest: (body, unit, id) => toChatRequest(chatFieldsOf(parseBody(body)), unit, id, MESSAGES),
  writeAnswer: (completion) => JSON.stringify(messageOf(completion)),
  writeError: messagesError,
  openStream: () => new MessagesStreamWriter(),
};
