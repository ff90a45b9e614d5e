import { compilePrompt, MESSAGES_SLOT, TemplateError, type PromptContent } from '../template/template.js';
import type { StoredPrompt } from './types.js';

/** A prompt as MLflow's protocol carries it: tags `_mlflow_prompt_type` and `mlflow.prompt.text`. */
export interface PromptTags {
  readonly form: 'text' | 'chat';
  readonly text: string;
}

/**
 * What a prompt of MLflow's is here: our own text or chat where both render it alike, so that chains can use it, else
 * the text as it was.
 */
export function promptFromMlflow({ form, text }: PromptTags): StoredPrompt {
  const own = ownPrompt(form, text);
  return own && renderProblem(own) === undefined ? own : { type: 'mlflow', form, text };
}

/** The inverse, for prompts of either protocol. MLflow has no slot: it is shown as the variable `messages`. */
export function promptToMlflow(content: StoredPrompt): PromptTags {
  switch (content.type) {
    case 'mlflow':
      return { form: content.form, text: content.text };
    case 'text':
      return { form: 'text', text: content.text };
    case 'chat':
      return {
        form: 'chat',
        text: pythonJson(
          content.messages.map((message) =>
            message === MESSAGES_SLOT
              ? { role: 'user', content: MESSAGES_SLOT }
              : { role: message.role, content: message.content },
          ),
        ),
      };
  }
}

/** Why chains cannot render a prompt, in a few words; undefined when they can. */
export function unrenderable(content: StoredPrompt): string | undefined {
  if (content.type !== 'mlflow') return undefined;
  const own = ownPrompt(content.form, content.text);
  return (
    (own && renderProblem(own)) ??
    'its messages are not a list of role (system, developer, user, assistant) and text'
  );
}

function ownPrompt(form: 'text' | 'chat', text: string): PromptContent | undefined {
  if (form === 'text') return { type: 'text', text };
  const messages = parsed(text);
  if (!Array.isArray(messages) || messages.length === 0 || messages.length > 1000) return undefined;
  if (!messages.every(isMessage)) return undefined;
  return {
    type: 'chat',
    messages: messages.map((message) =>
      message.role === 'user' && message.content === MESSAGES_SLOT ? MESSAGES_SLOT : message,
    ),
  };
}

const ROLES: readonly unknown[] = ['system', 'developer', 'user', 'assistant'];

function isMessage(
  value: unknown,
): value is { role: 'system' | 'developer' | 'user' | 'assistant'; content: string } {
  if (typeof value !== 'object' || value === null) return false;
  const { role, content, ...others } = value as Record<string, unknown>;
  return ROLES.includes(role) && typeof content === 'string' && Object.keys(others).length === 0;
}

function renderProblem(prompt: PromptContent): string | undefined {
  const texts =
    prompt.type === 'text'
      ? [prompt.text]
      : prompt.messages.map((message) => (message === MESSAGES_SLOT ? '' : message.content));
  if (prompt.type === 'text' && prompt.text === '') return 'it is empty';
  // MLflow hands a prompt with {% … %} to Jinja, and knows no escape.
  if (texts.some((text) => text.includes('{%') && text.includes('%}'))) return 'it is a Jinja template';
  if (texts.some((text) => text.includes('\\{{'))) return 'MLflow does not read \\{{ as literal braces';
  try {
    compilePrompt(prompt);
    return undefined;
  } catch (error) {
    if (error instanceof TemplateError) return error.message.replace(/\.$/, '');
    throw error;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * JSON as Python's `json.dumps` writes it, which is what MLflow's clients compare and show: a blank behind comma and
 * colon, everything beyond ASCII escaped.
 */
function pythonJson(messages: readonly { role: string; content: string }[]): string {
  const string = (text: string) =>
    JSON.stringify(text).replace(
      /[\u007f-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
  return `[${messages.map(({ role, content }) => `{"role": ${string(role)}, "content": ${string(content)}}`).join(', ')}]`;
}
