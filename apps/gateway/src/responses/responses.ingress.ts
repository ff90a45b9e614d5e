import { parseBody, toChatRequest } from '../chat/chat-request.js';
import type { Ingress } from '../chat/ingress.js';
import { errorBody } from '../http/gateway-error.js';
import { responseOf } from './responses-answer.js';
import { chatFieldsOf } from './responses-request.js';
import { ResponsesStreamWriter } from './responses-stream.js';

/** `POST /v1/responses`, OpenAI's protocol, without what needs responses that are kept. */
export const RESPONSES: Ingress = {
  path: '/v1/responses',
  readRequest: (body, unit, id) => toChatRequest(chatFieldsOf(parseBody(body)), unit, id, RESPONSES),
  writeAnswer: (completion, request) => JSON.stringify(responseOf(completion, request)),
  writeError: errorBody,
  openStream: (request) => new ResponsesStreamWriter(request),
};
