import type { Response } from 'express';
import { writeJson } from '../protocol/json-writer.js';

/** Answers a message from a raw route. */
export function answerJson(response: Response, message: object): void {
  const body = writeJson(message);
  response.setHeader('content-type', 'application/json');
  response.setHeader('content-length', Buffer.byteLength(body));
  response.end(body);
}
