import { badRequest } from '../http/gateway-error.js';
import type { Fields } from '../providers/canonical.js';

/** Asked for of a text, not of a conversation. */
const REFUSED: Readonly<Record<string, (value: unknown) => boolean>> = {
  suffix: (value) => value === '',
  echo: (value) => value === false,
  best_of: (value) => value === 1,
};

/**
 * The chat completion that is asked for by the body of `POST /v1/completions`: the prompt is what the user says.
 * @throws GatewayError 400 for more than one prompt, tokens instead of text, and what only a bare text can have.
 */
export function chatFieldsOf(body: Fields): Fields {
  const { prompt, logprobs, ...fields } = body;
  for (const name in REFUSED) {
    const value = body[name];
    if (value !== undefined && value !== null && !REFUSED[name]!(value))
      throw badRequest(
        'unsupported_field',
        `"${name}" is not possible here: chains answer conversations. Leave it out.`,
        name,
      );
    delete fields[name];
  }
  const text = textOfPrompt(prompt);
  fields['messages'] = text === '' ? [] : [{ role: 'user', content: text }];
  if (typeof logprobs === 'number') {
    fields['logprobs'] = true;
    if (logprobs > 0) fields['top_logprobs'] = logprobs;
  } else if (logprobs !== undefined && logprobs !== null)
    throw badRequest('bad_type', '"logprobs" must be a number.', 'logprobs');
  return fields;
}

function textOfPrompt(prompt: unknown): string {
  if (prompt === undefined || prompt === null) return '';
  const only: unknown = Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt;
  if (typeof only !== 'string')
    throw badRequest(
      'bad_prompt',
      '"prompt" must be one text; send several prompts as several requests, and no tokens.',
      'prompt',
    );
  return only;
}
