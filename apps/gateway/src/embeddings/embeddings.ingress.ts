import { parseBody, toChatRequest, type ChatRequest } from '../chat/chat-request.js';
import type { Form } from '../chat/form.js';
import type { Ingress } from '../chat/ingress.js';
import { badRequest, errorBody } from '../http/gateway-error.js';
import { inFormat, readEmbeddings, withoutVectors } from './embeddings-answer.js';
import { checkFields, embeddingsBody, formatAsked, vectorsAsked } from './embeddings-request.js';

const EMBEDDINGS_FORM: Form = {
  task: 'embed',
  answer: 'list of embeddings, one of each input',
  path: ({ embeddingsPath }, base, model, apiVersion) => {
    // The registry lets no chain embed where there is none.
    if (!embeddingsPath) throw new Error('The protocol of this model endpoint has no embeddings.');
    return embeddingsPath(base, model, apiVersion);
  },
  writeRequest: (generation, fields) => JSON.stringify(embeddingsBody(generation, fields)),
  readAnswer: (answer, { fields }) => readEmbeddings(answer, vectorsAsked(fields), formatAsked(fields)),
  keptAnswer: withoutVectors,
};

/** `POST /v1/embeddings`, OpenAI's protocol: `model` is a serving endpoint whose chains embed. */
export const EMBEDDINGS: Ingress = {
  path: '/v1/embeddings',
  form: EMBEDDINGS_FORM,
  readRequest,
  writeAnswer: (answer, { fields }) => inFormat(answer, formatAsked(fields)),
  writeError: errorBody,
};

function readRequest(
  body: Buffer,
  unitHeader: string | undefined,
  idHeader: string | undefined,
): ChatRequest {
  const fields = parseBody(body);
  checkFields(fields);
  const request = toChatRequest(fields, unitHeader, idHeader, EMBEDDINGS);
  for (const name in request.variables)
    throw badRequest(
      'bad_variables',
      `There is no prompt that could take the variable "${name.slice(0, 100)}"; leave "metadata.variables" out.`,
      'metadata.variables',
    );
  return request;
}
