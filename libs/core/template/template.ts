/**
 * Prompt templates: `{{variable}}` placeholders, and a `{{messages}}` slot for the conversation so far.
 * Placeholders are filled in one pass; a value that itself contains `{{…}}` stays as it is.
 * `\{{` stands for a literal `{{`.
 */

export interface ChatMessage {
  readonly role: string;
  readonly content: unknown;
  readonly [field: string]: unknown;
}

export interface TemplateMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant';
  readonly content: string;
}

/** In a chat template, this element stands for the conversation so far. */
export const MESSAGES_SLOT = '{{messages}}';

export type PromptContent =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'chat'; readonly messages: readonly (TemplateMessage | typeof MESSAGES_SLOT)[] };

export type VariableValue = string | number | boolean;

/** A template that cannot be parsed, or values that do not fit it. The message names the culprits. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';

  constructor(
    message: string,
    readonly missing: readonly string[] = [],
    readonly extra: readonly string[] = [],
  ) {
    super(message);
  }
}

type Piece = { readonly literal: string } | { readonly variable: string };

export interface CompiledPrompt {
  /** Names of the variables, in order of first use, without the slot. */
  readonly variables: readonly string[];
  readonly hasMessagesSlot: boolean;
  /**
   * The messages to send to the model.
   * @throws TemplateError naming every missing or extra variable; or when a conversation is given and the
   * prompt has no slot for it.
   */
  render(
    values: Readonly<Record<string, VariableValue>>,
    conversation: readonly ChatMessage[],
  ): ChatMessage[];
}

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Parses a prompt once, so that rendering is string concatenation only.
 * @throws TemplateError for an unclosed placeholder, a bad name, or a second `{{messages}}` slot.
 */
export function compilePrompt(content: PromptContent): CompiledPrompt {
  const variables = new Set<string>();
  let slots = 0;

  const parts: (((values: Readonly<Record<string, VariableValue>>) => ChatMessage) | 'slot')[] = [];
  if (content.type === 'text') {
    const { pieces, slot } = splitTextSlot(content.text);
    collect(pieces.before, variables);
    collect(pieces.after, variables);
    if (slot) slots++;
    if (slot) {
      if (!isBlank(pieces.before))
        parts.push((values) => ({ role: 'user', content: fill(pieces.before, values) }));
      parts.push('slot');
      if (!isBlank(pieces.after))
        parts.push((values) => ({ role: 'user', content: fill(pieces.after, values) }));
    } else {
      parts.push((values) => ({ role: 'user', content: fill(pieces.before, values) }));
    }
  } else {
    for (const message of content.messages) {
      if (message === MESSAGES_SLOT) {
        slots++;
        parts.push('slot');
        continue;
      }
      const pieces = parse(message.content);
      if (pieces.some((piece) => 'variable' in piece && piece.variable === 'messages'))
        throw new TemplateError(
          'In a chat prompt the {{messages}} slot is an element of its own: put the string "{{messages}}" between two messages.',
        );
      collect(pieces, variables);
      parts.push((values) => ({ role: message.role, content: fill(pieces, values) }));
    }
  }
  if (slots > 1) throw new TemplateError('The prompt has more than one {{messages}} slot; keep one.');
  const names = [...variables];

  return {
    variables: names,
    hasMessagesSlot: slots === 1,
    render(values, conversation) {
      checkValues(names, variables, values);
      if (slots === 0 && conversation.length > 0)
        throw new TemplateError(
          'The prompt has no {{messages}} slot, so the messages of the request have no place; send an empty "messages" list and use variables, or register a prompt with the slot.',
        );
      const rendered: ChatMessage[] = [];
      for (const part of parts) {
        if (part === 'slot') for (const message of conversation) rendered.push(message);
        else rendered.push(part(values));
      }
      if (rendered.length === 0)
        throw new TemplateError(
          'The rendered prompt has no message; send at least one message for the {{messages}} slot.',
        );
      return rendered;
    },
  };
}

function checkValues(
  names: readonly string[],
  known: ReadonlySet<string>,
  values: Readonly<Record<string, VariableValue>>,
): void {
  const missing = names.filter((name) => !Object.hasOwn(values, name));
  const extra = Object.keys(values).filter((name) => !known.has(name));
  if (missing.length === 0 && extra.length === 0) return;
  const said = [
    missing.length > 0 ? `missing variables: ${missing.join(', ')}` : '',
    extra.length > 0 ? `variables the prompt does not have: ${extra.slice(0, 20).join(', ')}` : '',
  ].filter(Boolean);
  throw new TemplateError(
    `The variables do not fit the prompt: ${said.join('; ')}. The prompt's variables are: ${names.join(', ') || '(none)'}.`,
    missing,
    extra,
  );
}

/** A text prompt is one user message; its `{{messages}}` slot divides it into the text before and after. */
function splitTextSlot(text: string): { pieces: { before: Piece[]; after: Piece[] }; slot: boolean } {
  const pieces = parse(text);
  const isSlot = (piece: Piece) => 'variable' in piece && piece.variable === 'messages';
  const at = pieces.findIndex(isSlot);
  if (at === -1) return { pieces: { before: pieces, after: [] }, slot: false };
  const after = pieces.slice(at + 1);
  if (after.some(isSlot))
    throw new TemplateError('The prompt has more than one {{messages}} slot; keep one.');
  return { pieces: { before: pieces.slice(0, at), after }, slot: true };
}

function parse(text: string): Piece[] {
  const pieces: Piece[] = [];
  let literal = '';
  let cursor = 0;
  while (cursor < text.length) {
    const open = text.indexOf('{{', cursor);
    if (open === -1) {
      literal += text.slice(cursor);
      break;
    }
    if (open > 0 && text[open - 1] === '\\' && open - 1 >= cursor) {
      literal += text.slice(cursor, open - 1) + '{{';
      cursor = open + 2;
      continue;
    }
    literal += text.slice(cursor, open);
    const close = text.indexOf('}}', open + 2);
    if (close === -1)
      throw new TemplateError(
        `The placeholder at character ${open} is not closed; write }} after its name, or \\{{ for literal braces.`,
      );
    const name = text.slice(open + 2, close).trim();
    if (!VARIABLE.test(name))
      throw new TemplateError(
        `"{{${name.slice(0, 60)}}}" is not a placeholder: a name has letters, digits and _ and starts with a letter or _. Write \\{{ for literal braces.`,
      );
    if (literal) pieces.push({ literal });
    literal = '';
    pieces.push({ variable: name });
    cursor = close + 2;
  }
  if (literal) pieces.push({ literal });
  return pieces;
}

function collect(pieces: readonly Piece[], into: Set<string>): void {
  for (const piece of pieces)
    if ('variable' in piece && piece.variable !== 'messages') into.add(piece.variable);
}

function isBlank(pieces: readonly Piece[]): boolean {
  return pieces.every((piece) => 'literal' in piece && piece.literal.trim() === '');
}

function fill(pieces: readonly Piece[], values: Readonly<Record<string, VariableValue>>): string {
  let text = '';
  for (const piece of pieces) text += 'literal' in piece ? piece.literal : String(values[piece.variable]);
  return text;
}
