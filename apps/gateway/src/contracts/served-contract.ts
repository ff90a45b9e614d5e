import { compileContract, type ContractCheck } from '#libs/core/contract/compile-contract.js';
import type { StructuredOutput } from '#libs/core/contract/structured-output.js';
import { instructionFor } from '#libs/core/contract/words.js';
import type { OutputContract } from '#libs/core/content/types.js';
import type { ChatMessage } from '#libs/core/template/template.js';
import type { CanonicalRequest, Fields } from '../providers/canonical.js';

const DEFAULT_REASKS = 1;

/** The output contract of a chain version, ready for use; one object per version. */
export class ServedContract {
  /** Whether answers that do not satisfy it are kept from the caller; else it is only said in the row. */
  readonly isEnforced: boolean;
  /** Whether broken JSON is mended without asking. */
  readonly repairs: boolean;
  /** How often one model endpoint is told what was wrong with its answer. */
  readonly maxReasks: number;
  private readonly fields: Readonly<Record<StructuredOutput, Fields>>;
  private compiled: ContractCheck | undefined;
  private words: string | undefined;

  constructor(
    private readonly contract: OutputContract,
    /** Told when the schema turns out not to be usable. */
    private readonly onUnusable: (error: unknown) => void,
  ) {
    const { name = 'answer', schema, strict, repair = true, maxReasks = DEFAULT_REASKS } = contract;
    this.isEnforced = strict !== false;
    this.repairs = this.isEnforced && repair;
    this.maxReasks = this.isEnforced ? maxReasks : 0;
    const json_schema = strict === undefined ? { name, schema } : { name, schema, strict };
    this.fields = {
      response_format: { response_format: { type: 'json_schema', json_schema } },
      // https://docs.vllm.ai/en/latest/features/structured_outputs/
      structured_outputs: { structured_outputs: { json: schema } },
      json_object: { response_format: { type: 'json_object' } },
      prompt: {},
    };
  }

  /** Compiled at the first answer. The registry refuses schemas that do not compile; one that does here all the same satisfies nobody, and kills nobody. */
  get check(): ContractCheck {
    return (this.compiled ??= this.compile());
  }

  /** Fields of a canonical request that ask for it; none where it is only held against the answer. */
  fieldsFor(by: StructuredOutput): Fields {
    return this.isEnforced ? this.fields[by] : this.fields.prompt;
  }

  /** Messages that ask for it, where fields alone do not. */
  messagesFor(by: StructuredOutput, messages: readonly ChatMessage[]): readonly ChatMessage[] {
    if (!this.isEnforced || by === 'response_format' || by === 'structured_outputs') return messages;
    return instructed(messages, (this.words ??= instructionFor(this.contract.schema)));
  }

  private compile(): ContractCheck {
    try {
      return compileContract(this.contract.schema);
    } catch (error) {
      this.onUnusable(error);
      return () => [{ path: '', message: 'cannot be checked: the schema of the chain is not usable' }];
    }
  }
}

/** In the one system message at the beginning: many chat templates take no second one, and none later on. */
function instructed(messages: readonly ChatMessage[], words: string): readonly ChatMessage[] {
  const first = messages[0] as CanonicalRequest | undefined;
  const isSystem = first?.['role'] === 'system' || first?.['role'] === 'developer';
  const content: unknown = first?.['content'];
  if (!isSystem || (typeof content !== 'string' && !Array.isArray(content)))
    return [{ role: 'system', content: words }, ...messages];
  const extended = Array.isArray(content)
    ? [...(content as unknown[]), { type: 'text', text: words }]
    : content === ''
      ? words
      : `${content}\n\n${words}`;
  return [{ ...first, content: extended } as unknown as ChatMessage, ...messages.slice(1)];
}
