import type { ChatMessage } from '#libs/core/template/template.js';

/** Below this, reading a prompt anew costs less than thinking about it. In bytes of the request. */
export const LEAST_PROMPT_BYTES = 1024;

/** Characters of a text that count: its beginning, and short windows at growing distances, where it reaches that far. */
const BEGINNING = 96;
const WINDOWS: readonly number[] = [512, 1024, 2048, 4096, 8192];
const WINDOW = 24;

/**
 * A number for the beginning of a conversation: all messages up to the first of the user, which later turns repeat word
 * for word. Samples of the texts, not all of them: texts that differ only outside the samples share a number, which
 * costs a little balance and nothing else; an end that differs (a question behind a long document) does not count.
 * @returns never 0.
 */
export function affinityKey(messages: readonly ChatMessage[]): number {
  let hash = 0;
  for (const message of messages) {
    hash = absorb(hash, textOf(message));
    if (message.role === 'user') break;
  }
  return finish(hash) || 1;
}

/** Rendezvous hashing: the replica with the highest weight is preferred, whatever others come and go. */
export function affinityWeight(key: number, seed: number): number {
  return finish(key ^ seed);
}

/** The text of a message; of one in parts, its first text. */
function textOf({ content }: ChatMessage): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  for (const part of content as readonly { readonly text?: unknown }[])
    if (typeof part?.text === 'string') return part.text;
  return '';
}

function absorb(given: number, text: string): number {
  // Begun with one, for nothing follows from a zero but zeros.
  let hash = mix(given + 1, text.length > BEGINNING ? BEGINNING : text.length);
  hash = absorbRange(hash, text, 0, Math.min(BEGINNING, text.length));
  for (const at of WINDOWS) {
    if (text.length < at + WINDOW) break;
    hash = absorbRange(hash, text, at, at + WINDOW);
  }
  return hash;
}

function absorbRange(given: number, text: string, from: number, to: number): number {
  let hash = given;
  // Two UTF-16 units at a time: this hash never leaves the gateways, so no other language has to agree on bytes.
  let at = from;
  for (; at + 1 < to; at += 2) hash = mix(hash, text.charCodeAt(at) | (text.charCodeAt(at + 1) << 16));
  return at < to ? mix(hash, text.charCodeAt(at)) : hash;
}

/** One multiplication a step, for there are a hundred steps; `finish` makes up for it. */
function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1);
  return (mixed << 13) | (mixed >>> 19);
}

/** The finaliser of MurmurHash3_x86_32. */
function finish(given: number): number {
  let hash = given;
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash >>> 0;
}
