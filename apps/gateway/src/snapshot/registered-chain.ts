import type { ChainContent, Task } from '#libs/core/content/types.js';
import { compilePrompt, type CompiledPrompt, type PromptContent } from '#libs/core/template/template.js';
import { ServedContract } from '../contracts/served-contract.js';
import type { ServedChain } from './snapshot.js';

/** A prompt version; one object per version. Parsed at its first use, so that one bad text harms its own users only. */
export class RegisteredPrompt {
  private compiledPrompt: CompiledPrompt | undefined;

  constructor(
    readonly versionId: string,
    /** Canonical JSON, as registered. */
    readonly text: string,
  ) {}

  get compiled(): CompiledPrompt {
    return (this.compiledPrompt ??= compilePrompt(JSON.parse(this.text) as PromptContent));
  }
}

/** Identity and text of a chain version, as the database and the disk hold it. */
export interface ChainIdentity {
  readonly versionId: string;
  readonly name: string;
  readonly version: number;
  readonly digest: string;
}

/** A chain version; one object per version. Content, prompt and contract are parsed at their first use. */
export class RegisteredChain implements ServedChain {
  readonly versionId: string;
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  readonly task: Task;
  private parsed: ChainContent | undefined;
  /** Null where it has none. */
  private servedContract: ServedContract | null | undefined;

  constructor(
    identity: ChainIdentity,
    readonly contentText: string,
    /** Undefined for a chain that embeds. */
    readonly pinnedPrompt: RegisteredPrompt | undefined,
    /** Told when the output contract turns out not to be usable. */
    private readonly onBadContract: (chain: ServedChain, error: unknown) => void,
  ) {
    this.versionId = identity.versionId;
    this.name = identity.name;
    this.version = identity.version;
    this.digest = identity.digest;
    this.task = pinnedPrompt ? 'generate' : 'embed';
  }

  get content(): ChainContent {
    return (this.parsed ??= JSON.parse(this.contentText) as ChainContent);
  }

  get promptText(): string | undefined {
    return this.pinnedPrompt?.text;
  }

  get prompt(): CompiledPrompt | undefined {
    return this.pinnedPrompt?.compiled;
  }

  get contract(): ServedContract | undefined {
    if (this.servedContract === undefined) {
      const { output } = this.content;
      this.servedContract = output
        ? new ServedContract(output, (error) => this.onBadContract(this, error))
        : null;
    }
    return this.servedContract ?? undefined;
  }
}
