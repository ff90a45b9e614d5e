import { COMPLETIONS } from '../completions/completions.ingress.js';
import { EMBEDDINGS } from '../embeddings/embeddings.ingress.js';
import { MESSAGES } from '../messages/messages.ingress.js';
import { RESPONSES } from '../responses/responses.ingress.js';
import { CHAT } from './chat.ingress.js';
import type { Ingress } from './ingress.js';

/** The protocols that callers speak. */
export const INGRESSES: readonly Ingress[] = [CHAT, MESSAGES, COMPLETIONS, RESPONSES, EMBEDDINGS];
