import { compileOutputSchema } from '#libs/core/content/validate.js';
import type { ChainContent } from '#libs/core/content/types.js';
import { compilePrompt, type CompiledPrompt, type PromptContent } from '#libs/core/template/template.js';
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

type OutputValidator = (answer: unknown) => boolean;

/** A chain version; one object per version. Content, prompt and validator are parsed at their first use. */
export class RegisteredChain implements ServedChain {
  readonly versionId: string;
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  private parsed: ChainContent | undefined;
  private validator: OutputValidator | undefined;

  constructor(
    identity: ChainIdentity,
    readonly contentText: string,
    readonly pinnedPrompt: RegisteredPrompt,
    /** Told when the output contract turns out not to be usable. */
    private readonly onBadContract: (chain: ServedChain, error: unknown) => void,
  ) {
    this.versionId = identity.versionId;
    this.name = identity.name;
    this.version = identity.version;
    this.digest = identity.digest;
  }

  get content(): ChainContent {
    return (this.parsed ??= JSON.parse(this.contentText) as ChainContent);
  }

  get promptText(): string {
    return this.pinnedPrompt.text;
  }

  get prompt(): CompiledPrompt {
    return this.pinnedPrompt.compiled;
  }

  get validateOutput(): OutputValidator | undefined {
    const contract = this.content.output;
    if (!contract) return undefined;
    return (this.validator ??= this.compileValidator(contract.schema));
  }

  /** The registry refuses schemas that do not compile; one that does here all the same satisfies nobody, and kills nobody. */
  private compileValidator(schema: object): OutputValidator {
    try {
      const validate = compileOutputSchema(schema);
      return (answer) => validate(answer);
    } catch (error) {
      this.onBadContract(this, error);
      return () => false;
    }
  }
}
