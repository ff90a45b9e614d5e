import { createHash } from 'node:crypto';
import type { ChatMessage } from './request.js';

/** vLLM's default block: 16 tokens, here of about four characters. */
const BLOCK_TOKENS = 16;
const BLOCK_CHARACTERS = BLOCK_TOKENS * 4;

/**
 * Which beginnings of prompts a GPU still holds, as by vLLM's automatic prefix caching: whole blocks, each known by
 * itself and everything before it; the least recently used go first.
 * https://docs.vllm.ai/en/latest/design/prefix_caching/
 */
export class PrefixCache {
  private readonly blocks = new Set<string>();
  private readonly capacity: number;

  constructor(tokens: number) {
    this.capacity = Math.floor(tokens / BLOCK_TOKENS);
  }

  /** How many tokens of a prompt are held, from its beginning. */
  match(messages: readonly ChatMessage[]): number {
    if (this.capacity === 0) return 0;
    let found = 0;
    for (const block of blocksOf(messages)) {
      if (!this.blocks.has(block)) break;
      found++;
    }
    return found * BLOCK_TOKENS;
  }

  /** Holds the blocks of a prompt that has been read, or of a prompt with its answer. */
  add(messages: readonly ChatMessage[]): void {
    if (this.capacity === 0) return;
    for (const block of blocksOf(messages)) {
      this.blocks.delete(block);
      this.blocks.add(block);
    }
    for (const oldest of this.blocks) {
      if (this.blocks.size <= this.capacity) return;
      this.blocks.delete(oldest);
    }
  }
}

function* blocksOf(messages: readonly ChatMessage[]): Generator<string> {
  const text = messages.map((message) => `<${message.role}>${message.text}\n`).join('');
  let before = '';
  for (let at = 0; at + BLOCK_CHARACTERS <= text.length; at += BLOCK_CHARACTERS) {
    before = createHash('sha1')
      .update(before + text.slice(at, at + BLOCK_CHARACTERS))
      .digest('base64');
    yield before;
  }
}
