import { errorBody } from '../http/gateway-error.js';
import { parseBody, toChatRequest } from './chat-request.js';
import type { Ingress } from './ingress.js';

/** `POST /v1/chat/completions`, OpenAI's protocol: `model` is the serving endpoint. */
export const CHAT: Ingress = {
  path: '/v1/chat/completions',
  readRequest: (body, unit, id) => toChatRequest(parseBody(body), unit, id, CHAT),
  writeError: errorBody,
};
